"""What a score is called where several stand beside each other: in a run's metrics, in W&B."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def metric_name(task: str, metric: str) -> str:
    """A task's score among the metrics of a run, as OLMo-core calls it."""
    return f"eval/downstream/{task} ({metric})"


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
    return found | dict(scored_parts(f"eval/suite/{result['suite']}", result, "parts"))


def scored_parts(
    prefix: str, node: Mapping[str, Any], children: str = "children"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A suite and its parts that have a score, single tasks left out."""
    if node["score"] is not None:
        yield prefix, node
    for name, part in (node.get(children) or {}).items():
        if "aggregate" in part:
            yield from scored_parts(f"{prefix}/{name}", part)
