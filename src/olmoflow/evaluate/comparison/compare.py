"""Two evaluations beside each other, task by task over the questions that both were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.comparison.paired import CONFIDENCE, Paired, holm, paired
from olmoflow.evaluate.runner.outputs import METRICS, read_predictions, read_summary
from olmoflow.evaluate.runner.summary import TaskSummary

_SHOWN = 3


@dataclass(frozen=True)
class EvaluatedTask:
    """A task that an evaluation holds.

    Attributes:
        summary: Its result.
        config: The task's config as it was then.
        folder: Its files.
    """

    summary: TaskSummary
    config: Mapping[str, Any]
    folder: Path

    def values(self, metric: str) -> dict[Any, float]:
        """A metric of each question that has a score, by the question's number."""
        rows = ((row["doc_id"], row["metrics"]) for row in read_predictions(self.folder))
        return {number: metrics[metric] for number, metrics in rows if metrics is not None}


@dataclass(frozen=True)
class TaskComparison:
    """One task of two evaluations.

    Attributes:
        task: Its name.
        metric: What is compared.
        higher_is_better: Of the metric.
        paired: The comparison; None where one of the two has no score.
        left_out: Questions that only one of them has a score for.
        p_holm: The p-value, corrected for the number of tasks (Holm).
        error: Why there is none.
    """

    task: str
    metric: str
    higher_is_better: bool
    paired: Paired | None
    left_out: int = 0
    p_holm: float | None = None
    error: str | None = None

    @property
    def verdict(self) -> str:
        """What the test says: ``better``, ``worse`` (b, of the two) or why it cannot tell."""
        found = self.paired
        if found is None:
            return "no score"
        if found.n > 1 and not found.higher + found.lower:
            return "no question differs"
        return verdict(found.difference, found.p_value, higher_is_better=self.higher_is_better)


def verdict(difference: float, p_value: float | None, *, higher_is_better: bool) -> str:
    """What b less a says of b.

    The test decides: of the normal approximation the interval says the same, of few accuracies it
    may leave out 0 where the exact test sees nothing.
    """
    if p_value is None:
        return "no interval"
    if p_value >= 1 - CONFIDENCE:
        return "no difference"
    return "better" if (difference > 0) == higher_is_better else "worse"


def read_evaluation(folder: Path, role: str) -> dict[str, EvaluatedTask]:
    """The tasks of an evaluation, by name.

    Raises:
        UserError: It keeps no answers.
    """
    found = {}
    for path in sorted((folder / "tasks").glob(f"*/{METRICS}")):
        summary, file = read_summary(path.parent)
        found[summary.name] = EvaluatedTask(summary, file["task_config"], path.parent)
    if not found:
        raise UserError(
            f"{role}={folder.name}: holds no task's answers; expected an evaluation of a suite of "
            "tasks"
        )
    return found


def compare(
    a: Mapping[str, EvaluatedTask],
    b: Mapping[str, EvaluatedTask],
    metric: str | None = None,
) -> list[TaskComparison]:
    """Compare two evaluations on the tasks that both have, in the order of a.

    Args:
        a: From `read_evaluation`.
        b: The other.
        metric: What to compare; None: each task's primary metric.

    Raises:
        UserError: They have no task in common, a task is not the same in both, or a task has no
            such metric.
    """
    common = [name for name in a if name in b]
    if not common:
        raise UserError(f"compare: no task in common; a has {_some(a)}, b has {_some(b)}")
    for name in common:
        _check_same(name, a[name], b[name])
    rows = [_compare_task(name, a[name], b[name], metric) for name in common]
    corrected = holm([None if row.paired is None else row.paired.p_value for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]


def _compare_task(
    name: str, a: EvaluatedTask, b: EvaluatedTask, metric: str | None
) -> TaskComparison:
    primary = a.summary.primary_metric
    metric = metric or primary
    # What is said of the primary metric holds of any other but bits per byte.
    better = a.summary.higher_is_better if metric == primary else "bits_per_byte" not in metric
    row = TaskComparison(name, metric, better, None)
    for side, task in (("a", a), ("b", b)):
        if task.summary.score is None:
            return replace(row, error=f"{side}: {task.summary.error}")
        if metric not in task.summary.metrics:
            known = list(task.summary.metrics)
            close = get_close_matches(metric, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
            raise UserError(f"metric={metric}: {name} has no such metric; {hint}")
    ours, theirs = a.values(metric), b.values(metric)
    both = [number for number in ours if number in theirs]
    left_out = len(ours.keys() ^ theirs.keys())
    if not both:
        return replace(row, left_out=left_out, error="no question was asked of both")
    values = paired([ours[n] for n in both], [theirs[n] for n in both])
    return replace(row, paired=values, left_out=left_out)


def _check_same(name: str, a: EvaluatedTask, b: EvaluatedTask) -> None:
    if a.summary.task_hash == b.summary.task_hash:
        return
    keys = sorted(a.config.keys() | b.config.keys())
    changes = [
        f"{key}: {a.config.get(key)} in a, {b.config.get(key)} in b"
        for key in keys
        if a.config.get(key) != b.config.get(key)
    ]
    shown = "; ".join(changes[:_SHOWN]) or "their hashes differ"
    raise UserError(f"{name}: not the same task in a and b ({shown}); evaluate both alike")


def _some(tasks: Mapping[str, Any]) -> str:
    names: Sequence[str] = list(tasks)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
