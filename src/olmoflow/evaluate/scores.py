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
    found = {
        metric_name(task, row["metric"]): row["score"]
        for task, row in result["tasks"].items()
        if row["score"] is not None
    }
    return found | dict(suite_scores(f"eval/suite/{result['suite']}", result, "parts"))


def suite_scores(
    prefix: str, node: Mapping[str, Any], children: str = "children"
) -> Iterator[tuple[str, float]]:
    """The scores of a suite and of its parts, single tasks left out."""
    if node["score"] is not None:
        yield prefix, node["score"]
    for name, part in (node.get(children) or {}).items():
        if "aggregate" in part:
            yield from suite_scores(f"{prefix}/{name}", part)
