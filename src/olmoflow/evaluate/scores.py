"""What a score is called where several stand beside each other: in a run's metrics, in W&B."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

_ALL = "eval/"


def metric_name(task: str, metric: str) -> str:
    """A task's score among the metrics of a run, as OLMo-core calls it."""
    return f"{_ALL}downstream/{task} ({metric})"


def beside(what: Literal["stderr", "questions"], score: str) -> str:
    """The metric of a score's standard error, or of the number of questions behind it.

    Args:
        what: Which of them.
        score: Name of the score.
    """
    return f"{_ALL}{what}/{score.removeprefix(_ALL)}"


def is_score(name: str) -> bool:
    """Whether a run's metric is a score, and not what stands beside one."""
    return name.startswith((f"{_ALL}downstream/", f"{_ALL}suite/"))


def with_questions(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Metrics of scores, with what stands beside them.

    Args:
        rows: By the scores' names: ``score``, ``stderr`` and ``n``. Of a row without a score only
            the number of questions is left, which is 0.
    """
    found = {name: row["score"] for name, row in rows.items() if row["score"] is not None}
    for name, row in rows.items():
        if row["stderr"] is not None:
            found[beside("stderr", name)] = row["stderr"]
        found[beside("questions", name)] = float(row["n"])
    return found


def suite_name(suite: str) -> str:
    """A suite's score among the metrics of a run; those of its parts go on from there."""
    return f"{_ALL}suite/{suite}"


def scores_of(result: Mapping[str, Any]) -> dict[str, float]:
    """Every score of an evaluation by its name; what has none is left out.

    Args:
        result: What ``olmoflow evaluate`` says.
    """
    return {name: row["score"] for name, row in scored(result).items()}


def scored(result: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The rows of an evaluation's tasks and of its suite's parts that have a score, by its name."""
    found = {
        metric_name(task, row["metric"]): row
        for task, row in result["tasks"].items()
        if row["score"] is not None
    }
    return found | dict(scored_parts(suite_name(result["suite"]), result, "parts"))


def scored_parts(
    prefix: str, node: Mapping[str, Any], children: str = "children"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A suite and its parts that have a score, single tasks left out."""
    if node["score"] is not None:
        yield prefix, node
    for name, part in (node.get(children) or {}).items():
        if "aggregate" in part:
            yield from scored_parts(f"{prefix}/{name}", part)
