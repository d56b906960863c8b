"""One score of several: the mean of tasks, the mean of questions, the better format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A score with what is known of its accuracy.

    Attributes:
        score: The score.
        stderr: Its standard error; None where it is not defined.
        n: Questions behind it.
        higher_is_better: False of bits per byte.
    """

    score: float
    stderr: float | None
    n: int
    higher_is_better: bool = True


def macro(parts: Sequence[Estimate]) -> Estimate:
    """The mean of the parts, each counting the same. Parts are taken as independent."""
    return _weighted(parts, [1.0] * len(parts))


def micro(parts: Sequence[Estimate]) -> Estimate:
    """The mean over all questions of the parts, which are taken as independent."""
    return _weighted(parts, [float(part.n) for part in parts])


def best_format(parts: Sequence[Estimate]) -> Estimate:
    """The better of several formats of one task (OLMES's ``mc_or_rc``); of equal ones the first."""
    return max(parts, key=lambda part: part.score if part.higher_is_better else -part.score)


AGGREGATES: Mapping[str, Callable[[Sequence[Estimate]], Estimate]] = {
    "macro": macro,
    "micro": micro,
    "best_format": best_format,
}


def _weighted(parts: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    total = math.fsum(weights)
    score = math.fsum(w * part.score for w, part in zip(weights, parts, strict=True)) / total
    errors = [part.stderr for part in parts if part.stderr is not None]
    stderr = None
    if len(errors) == len(parts):
        stderr = math.hypot(*(w * e for w, e in zip(weights, errors, strict=True))) / total
    return Estimate(score, stderr, sum(part.n for part in parts), parts[0].higher_is_better)
