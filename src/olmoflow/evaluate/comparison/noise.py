"""Whether a benchmark can tell models apart: signal, noise, and decisions that carry over.

After Heineman et al., *Signal and Noise* (2025): the signal is how far models lie apart, the noise
is how much the last checkpoints of one run scatter, both relative to the mean; a benchmark with a
high ratio ranks models the same at a small scale and at a large one.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from olmoflow.errors import UserError


@dataclass(frozen=True)
class SignalToNoise:
    """What one metric is worth.

    Attributes:
        scores: The last score of each run.
        signal: ``max |m_j - m_k| / mean(m)`` over these; None for a single run.
        noise: Sample standard deviation over a run's last checkpoints by their mean, averaged over
            the runs; None where no run has two checkpoints.
        ratio: Signal over noise; None where one of them is missing or the noise is 0.
        checkpoints: How many of each run went into the noise.
    """

    scores: Mapping[str, float]
    signal: float | None
    noise: float | None
    ratio: float | None
    checkpoints: Mapping[str, int]


def signal_to_noise(curves: Mapping[str, Sequence[float]], last: int) -> SignalToNoise:
    """Signal and noise of a metric.

    Args:
        curves: Run to its scores, oldest first; at least one run, at least one score each.
        last: Checkpoints of each run that the noise is taken from, at most.
    """
    tails = {run: list(scores[-last:]) for run, scores in curves.items()}
    final = {run: scores[-1] for run, scores in tails.items()}
    mean = statistics.fmean(final.values())
    signal = None
    if len(final) > 1 and mean:
        signal = (max(final.values()) - min(final.values())) / abs(mean)
    scatters = [
        statistics.stdev(tail) / abs(middle)
        for tail in tails.values()
        if len(tail) > 1 and (middle := statistics.fmean(tail))
    ]
    noise = statistics.fmean(scatters) if scatters else None
    ratio = signal / noise if signal is not None and noise else None
    return SignalToNoise(final, signal, noise, ratio, {run: len(t) for run, t in tails.items()})


def decision_accuracy(small: Sequence[float], target: Sequence[float]) -> float | None:
    """The share of pairs of models that both scales rank the same (DataDecide).

    Pairs that are equal at either scale count half. None for fewer than two models.

    Args:
        small: Scores of the small models.
        target: Of the large ones, in the same order.

    Raises:
        UserError: There are not as many of both.
    """
    if len(small) != len(target):
        raise UserError(
            f"target: {len(target)} runs found; expected {len(small)}, one for each of runs="
        )
    agreements = [
        0.5 if not (x := (small[i] - small[j]) * (target[i] - target[j])) else float(x > 0)
        for i, j in combinations(range(len(small)), 2)
    ]
    return statistics.fmean(agreements) if agreements else None
