"""Token-weighted percentiles of a score within each topic, exact, in bounded memory.

A float32 can be mapped to a 32-bit integer that sorts alike. One pass counts tokens by the upper 16
bits, which finds the interval that each cut lies in; a second counts by the lower 16 bits within
those intervals alone, which finds the cut itself. What is held are counts, never scores: 0.5 MB for
each topic and, in the second pass, for each of its cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_HALF = 1 << 16
Scores = NDArray[np.float32]
Counts = NDArray[np.int64]


class Batch(NamedTuple):
    """Some documents: topics [rows] as indices into names, scores, tokens; no score is NaN."""

    names: list[str]
    topics: NDArray[np.int64]
    scores: Scores
    tokens: Counts


@dataclass(frozen=True)
class Cuts:
    """How a topic is cut.

    Attributes:
        scores: [buckets - 1], ascending; bucket k holds what is above k of them.
        shares: [buckets], the share of the tokens that each bucket has. Equal scores are never
            parted, so with many ties these are not equal.
    """

    scores: Scores
    shares: NDArray[np.float64]

    def bucket(self, scores: Scores) -> NDArray[np.int64]:
        """[rows], the bucket of each score from 0, the worst; NaN has no meaning here."""
        return np.searchsorted(self.scores, scores, side="left")


def token_weighted_cuts(read: Callable[[], Iterable[Batch]], buckets: int) -> dict[str, Cuts]:
    """Cut the tokens of each topic into buckets of equal size by score.

    The k-th cut is the lowest score for which at least k/buckets of the topic's tokens have no
    higher one.

    Args:
        read: Goes over all documents; called twice.
        buckets: How many.

    Returns:
        By topic; a topic without a score or without tokens is left out.
    """
    upper: dict[str, Counts] = {}
    for name, keys, tokens in _by_topic(read()):
        counts = upper.setdefault(name, np.zeros(_HALF, np.int64))
        counts += _count(keys >> 16, tokens)
    upper = {name: counts for name, counts in upper.items() if counts.sum() > 0}
    intervals = {name: _intervals(counts, buckets) for name, counts in upper.items()}
    lower = {
        (name, int(interval)): np.zeros(_HALF, np.int64)
        for name, found in intervals.items()
        for interval in np.unique(found)
    }
    for name, keys, tokens in _by_topic(read()):
        for interval in np.unique(intervals[name]) if name in intervals else ():
            inside = keys >> 16 == interval
            lower[name, int(interval)] += _count(keys[inside] & (_HALF - 1), tokens[inside])
    return {name: _cuts(name, upper[name], found, lower) for name, found in intervals.items()}


def sortable(scores: Scores) -> NDArray[np.uint32]:
    """Integers that sort as the scores do (−0 as 0)."""
    bits = (scores + np.float32(0)).view(np.uint32)
    return np.where(bits >> 31 == 1, ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)


def unsortable(keys: NDArray[np.uint32]) -> Scores:
    """The scores of such integers."""
    bits = np.where(keys >> 31 == 1, keys & np.uint32(0x7FFFFFFF), ~keys).astype(np.uint32)
    return bits.view(np.float32)


def _by_topic(batches: Iterable[Batch]) -> Iterable[tuple[str, NDArray[np.int64], Counts]]:
    """The keys and tokens of the scored documents of each topic of each batch."""
    for batch in batches:
        scored = ~np.isnan(batch.scores)
        keys = sortable(batch.scores).astype(np.int64)
        for number, name in enumerate(batch.names):
            mine = scored & (batch.topics == number)
            if mine.any():
                yield name, keys[mine], batch.tokens[mine]


def _count(bins: NDArray[np.int64], tokens: Counts) -> Counts:
    # Exact: sums of whole numbers below 2^53.
    return np.bincount(bins, tokens, _HALF).astype(np.int64)


def _intervals(counts: Counts, buckets: int) -> NDArray[np.int64]:
    """[buckets - 1], the interval that each cut lies in."""
    wanted = np.arange(1, buckets) * int(counts.sum())
    return np.searchsorted(counts.cumsum() * buckets, wanted, side="left")


def _cuts(
    name: str,
    counts: Counts,
    intervals: NDArray[np.int64],
    lower: dict[tuple[str, int], Counts],
) -> Cuts:
    buckets = len(intervals) + 1
    total, before = int(counts.sum()), np.concatenate([[0], counts.cumsum()])
    keys, passed = [], []
    for number, interval in enumerate(intervals.tolist(), 1):
        inside = int(before[interval]) + lower[name, interval].cumsum()
        place = int(np.searchsorted(inside * buckets, number * total, side="left"))
        keys.append(interval << 16 | place)
        passed.append(int(inside[place]))
    ends = np.array([0, *passed, total], np.float64) / total
    return Cuts(unsortable(np.array(keys, np.uint32)), np.diff(ends))
