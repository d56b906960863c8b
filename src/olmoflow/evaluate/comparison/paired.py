"""Two models on the same questions: the difference, its interval, its test, what could be seen.

The formulas are those of Miller, *Adding Error Bars to Evals* (arXiv 2411.00640): the standard
error of a paired difference is that of the mean of the questions' differences (section 4.2), and
the smallest effect that has a power of 80 % is a multiple of it (section 5). A question's value is
the mean over its samples, so samples of one question are one cluster (section 2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

CONFIDENCE, POWER = 0.95, 0.8
_Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
_Z_POWER = NormalDist().inv_cdf(POWER)

Test = Literal["mcnemar", "normal"]


@dataclass(frozen=True)
class Paired:
    """What b differs by from a.

    Attributes:
        n: Questions that both were asked.
        a: Mean of a over them.
        b: Mean of b.
        difference: ``b - a``.
        stderr: Its standard error; None for fewer than two questions.
        low: Lower end of the 95 % interval (normal approximation, which fewer than some thirty
            questions do not justify); None where every question differs alike, or there is one.
        high: Upper end.
        higher: Questions on which b has the higher value.
        lower: On which it has the lower one.
        test: ``mcnemar``: the exact test on the questions that only one of them got right, where
            every value is 0 or 1. ``normal``: the difference over its standard error.
        p_value: Two-sided; None where there is none (one question; every difference the same).
        mde80: The smallest true difference that so many questions would show with a probability of
            80 % at a level of 5 %; None like `low`.
    """

    n: int
    a: float
    b: float
    difference: float
    stderr: float | None
    low: float | None
    high: float | None
    higher: int
    lower: int
    test: Test
    p_value: float | None
    mde80: float | None


def paired(a: Sequence[float], b: Sequence[float]) -> Paired:
    """Compare the values of two models on the same questions, in the same order.

    Args:
        a: At least one value.
        b: As many.
    """
    n = len(a)
    differences = [y - x for x, y in zip(a, b, strict=True)]
    difference = math.fsum(differences) / n
    higher, lower = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    stderr = None
    if n > 1:
        squares = math.fsum((d - difference) ** 2 for d in differences)
        stderr = math.sqrt(squares / (n - 1) / n)
    binary = all(value in (0, 1) for value in (*a, *b))
    low, high = interval(difference, stderr)
    return Paired(
        n=n,
        a=math.fsum(a) / n,
        b=math.fsum(b) / n,
        difference=difference,
        stderr=stderr,
        low=low,
        high=high,
        higher=higher,
        lower=lower,
        test="mcnemar" if binary else "normal",
        p_value=sign_test(higher, lower) if binary else normal_test(difference, stderr),
        mde80=minimum_detectable_effect(stderr),
    )


def sign_test(higher: int, lower: int) -> float:
    """Two-sided exact probability of so uneven a split if both directions were alike.

    On accuracies it is McNemar's exact test: the binomial test with p = ½ over the questions that
    exactly one of the two models got right.
    """
    n = higher + lower
    term, total = 1, 1
    for k in range(1, min(higher, lower) + 1):
        term = term * (n - k + 1) // k
        total += term
    # Integers: neither 2 ** n nor the sum need fit into a float, their ratio does.
    return min(1.0, 2 * total / 2**n) if n else 1.0


def normal_test(difference: float, stderr: float | None) -> float | None:
    """Two-sided probability of such a difference over its standard error; None without one."""
    if not stderr:
        return None
    return math.erfc(abs(difference) / stderr / math.sqrt(2))


def minimum_detectable_effect(stderr: float | None) -> float | None:
    """``(z_{1-α/2} + z_power) · SE`` (Miller, section 5, solved for the effect).

    The variance of the observed differences over n is the variance of the questions' true
    differences and that of both models' samples together, so the measured standard error is all
    that is needed. None without one, and where it is 0: questions that all differ alike say nothing
    of how much others would.
    """
    return (_Z + _Z_POWER) * stderr if stderr else None


def interval(difference: float, stderr: float | None) -> tuple[float | None, float | None]:
    """The 95 % interval by the normal approximation; none where that has nothing to go by."""
    if not stderr:
        return None, None
    return difference - _Z * stderr, difference + _Z * stderr


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values of several tests, corrected so that the level holds for all together (Holm 1979).

    None stays None and counts for nothing.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = largest
    return adjusted
