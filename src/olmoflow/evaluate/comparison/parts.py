"""What the tasks' differences come to for the parts of a suite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from olmoflow.evaluate.comparison.compare import TaskComparison, verdict
from olmoflow.evaluate.comparison.paired import interval, minimum_detectable_effect, normal_test


@dataclass(frozen=True)
class PartComparison:
    """A suite's part, or a task in it, of two evaluations.

    Attributes:
        aggregate: How its score is made of its children's; None: a task.
        a: Score of a, over the questions that both were asked; None: there is none.
        b: Score of b.
        stderr: Of the difference; the tasks are taken as independent of each other.
        counts: Questions behind the score of a, and of b: the best formats may be different ones.
        higher_is_better: None where the part has no score of its own.
        reason: Why there is no score, or no interval.
        task: Of a task: its name.
        chosen: With ``best_format``, the child that is the better one in both.
        p_value: By the task's own test; None: the difference over its standard error is tested.
        children: By name.
    """

    aggregate: str | None
    a: float | None
    b: float | None
    stderr: float | None
    counts: tuple[int, int]
    higher_is_better: bool | None
    reason: str | None = None
    task: str | None = None
    chosen: str | None = None
    p_value: float | None = None
    children: Mapping[str, PartComparison] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Questions; where the two have different ones, as many as the fewer."""
        return min(self.counts)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, with the interval, the test and what could have been seen."""
        row: dict[str, Any] = {"aggregate": self.aggregate, "task": self.task, "n": self.n}
        row |= {"chosen": self.chosen, "reason": self.reason}
        row |= {"a": self.a, "b": self.b, "difference": None, "stderr": self.stderr}
        if self.a is not None and self.b is not None:
            difference = self.b - self.a
            low, high = interval(difference, self.stderr)
            row |= {"difference": difference, "low": low, "high": high}
            own = self.p_value
            p_value = normal_test(difference, self.stderr) if own is None else own
            row |= {"p_value": p_value, "mde80": minimum_detectable_effect(self.stderr)}
            better = bool(self.higher_is_better)
            row["verdict"] = verdict(difference, p_value, higher_is_better=better)
        children = {name: child.as_dict() for name, child in self.children.items()}
        shown = {k: v for k, v in row.items() if v is not None or k == "difference"}
        return shown | ({"children": children} if children else {})


def same_shape(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two suites' parts, as an evaluation stores them, are made alike."""
    return a.keys() == b.keys() and all(
        (a[name].get("aggregate"), a[name].get("task"))
        == (b[name].get("aggregate"), b[name].get("task"))
        and same_shape(a[name].get("children") or {}, b[name].get("children") or {})
        for name in a
    )


def compare_parts(
    a: Mapping[str, Any], b: Mapping[str, Any], rows: Mapping[str, TaskComparison]
) -> dict[str, PartComparison]:
    """Compare the parts of a suite.

    Args:
        a: The parts as an evaluation stores them.
        b: Those of the other, of the same shape.
        rows: The comparisons of the tasks.
    """
    return {name: _part(a[name], b[name], rows) for name in a}


def _part(
    a: Mapping[str, Any], b: Mapping[str, Any], rows: Mapping[str, TaskComparison]
) -> PartComparison:
    if "task" in a:
        return _leaf(rows[a["task"]])
    children = compare_parts(a["children"], b["children"], rows)
    parts, aggregate = list(children.values()), a["aggregate"]
    counts = sum(part.counts[0] for part in parts), sum(part.counts[1] for part in parts)
    better = parts[0].higher_is_better  # of what is compared, perhaps not the suite's own metric
    if aggregate == "none":
        return PartComparison(aggregate, None, None, None, counts, None, children=children)
    missing = [name for name, part in children.items() if part.a is None or part.b is None]
    if missing:
        reason = f"no score of {', '.join(missing)}"
        return PartComparison(
            aggregate, None, None, None, counts, better, reason, children=children
        )
    if aggregate == "best_format":
        return _best(children, bool(better))
    ours, theirs = (
        [float(part.counts[side]) if aggregate == "micro" else 1.0 for part in parts]
        for side in (0, 1)
    )
    return PartComparison(
        aggregate,
        _mean([part.a or 0.0 for part in parts], ours),
        _mean([part.b or 0.0 for part in parts], theirs),
        # Where the weights differ, so do two best formats, and there is no error to weigh.
        _stderr([part.stderr for part in parts], ours),
        counts,
        better,
        children=children,
    )


def _leaf(row: TaskComparison) -> PartComparison:
    found, better = row.paired, row.higher_is_better
    if found is None:
        return PartComparison(None, None, None, None, (0, 0), better, row.error, row.task)
    own, counts = found.p_value, (found.n, found.n)
    return PartComparison(
        None, found.a, found.b, found.stderr, counts, better, task=row.task, p_value=own
    )


def _best(children: Mapping[str, PartComparison], better: bool) -> PartComparison:
    """The better format of each; paired only where that is the same one."""
    sign = 1 if better else -1
    ours = max(children, key=lambda name: sign * (children[name].a or 0.0))
    theirs = max(children, key=lambda name: sign * (children[name].b or 0.0))
    a, b = children[ours], children[theirs]
    if ours == theirs:
        return replace(a, aggregate="best_format", task=None, chosen=ours, children=children)
    counts = a.counts[0], b.counts[1]
    reason = f"{ours} of a, {theirs} of b: no common questions to pair, so no interval"
    return PartComparison("best_format", a.a, b.b, None, counts, better, reason, children=children)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return math.fsum(w * v for w, v in zip(weights, values, strict=True)) / math.fsum(weights)


def _stderr(stderrs: Sequence[float | None], weights: Sequence[float]) -> float | None:
    if any(value is None for value in stderrs):
        return None
    parts = (w * (e or 0.0) for w, e in zip(weights, stderrs, strict=True))
    return math.hypot(*parts) / math.fsum(weights)
