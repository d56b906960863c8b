"""A row of a benchmark's table: ours beside one peer, measured in turns."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

# Units in which less is better.
_COSTS = ("MiB", "s blocked")


def compare(
    case: str,
    ours: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    unit: str,
    *,
    metric: str = "speed",
) -> dict[str, Any]:
    """Medians of both, and the median and range of the ratio of each turn.

    Args:
        case: What was measured.
        ours: One figure a turn.
        peer: The peer's figure of the same turn.
        peer_name: Who that is.
        unit: Of the figures.
        metric: ``speed`` or ``memory``.

    Returns:
        The row; a ratio above 1 means that ours is better, whatever the unit.
    """
    pairs = list(zip(ours, peer, strict=True))
    ratios = [b / a if unit in _COSTS else a / b for a, b in pairs]
    return {
        "case": case,
        "metric": metric,
        "ours": median(ours),
        "peer": median(peer),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }
