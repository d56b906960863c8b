"""Quality-aware upsampling: how often text is repeated, by its quality (Olmo 3, section 3.4).

Quality is the percentile x of the text within its topic, weighted by tokens. Repetition is the
truncated power-exponential curve

    f(x) = 0 for x < a,   C · (x − a)^p · e^(λ (x − a)) from a on.

The worst share a of the text is left out, the best is seen up to M times. The curve is fixed by
∫f = Z / X (tokens wanted over tokens there are), by a mean of at most M over the best bucket, and
by λ ≥ 0, with the largest power p, and for it the largest λ, for which both can be held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError

TRUNCATION, MAX_REPETITION, BUCKETS = 0.40, 7.0, 20
_POWERS = np.linspace(0.01, 2.0, 20)
_MAX_RATE = 2.0
_BISECTIONS = 50


@dataclass(frozen=True)
class Curve:
    """The curve of a topic.

    Attributes:
        truncation: a; the share that is left out.
        power: p.
        rate: λ.
        scale: C.
    """

    truncation: float
    power: float
    rate: float
    scale: float

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Repetitions at percentiles in [0, 1]."""
        u = np.maximum(x - self.truncation, 0.0)
        value = self.scale * u**self.power * np.exp(self.rate * u)
        return np.where(x < self.truncation, 0.0, value)

    def integral(self, low: float, high: float) -> float:
        """∫f from low to high."""
        ends = (max(0.0, x - self.truncation) for x in (low, high))
        below, above = (_shape_integral(u, self.power, self.rate) for u in ends)
        return self.scale * (above - below)

    def mean(self, low: float, high: float) -> float:
        """The mean repetition over a range of percentiles: a bucket's factor."""
        return self.integral(low, high) / (high - low)

    def factors(self, buckets: int = BUCKETS) -> NDArray[np.float64]:
        """[buckets], the factor of each of so many equal ranges, the worst first."""
        return np.array([self.mean(i / buckets, (i + 1) / buckets) for i in range(buckets)])


def solve_curve(
    ratio: float,
    *,
    truncation: float = TRUNCATION,
    max_repetition: float = MAX_REPETITION,
    buckets: int = BUCKETS,
) -> Curve:
    """The curve that brings a topic to its size.

    Args:
        ratio: Z / X, tokens wanted over tokens available.
        truncation: a.
        max_repetition: M, of the best bucket on average.
        buckets: How many the percentiles are cut into.

    Raises:
        UserError: Even the flattest curve would repeat the best bucket more often than allowed.
    """
    if not 0 <= truncation < 1 - 1 / buckets:
        raise UserError(
            f"truncation={truncation:g}: expected at least 0 and less than {1 - 1 / buckets:g}, "
            "where the best bucket begins"
        )
    if not ratio > 0:
        raise UserError(f"ratio={ratio:g}: expected more than 0 tokens wanted over tokens there")

    def curve(power: float, rate: float) -> Curve:
        whole = _shape_integral(1 - truncation, power, rate)
        return Curve(truncation, power, rate, ratio / whole)

    def allowed(power: float, rate: float) -> bool:
        return curve(power, rate).mean(1 - 1 / buckets, 1) <= max_repetition

    flattest = float(_POWERS[0])
    if not allowed(flattest, 0.0):
        most = largest_ratio(truncation, max_repetition, buckets)
        raise UserError(
            f"ratio={ratio:g}: max_repetition={max_repetition:g} and truncation={truncation:g} "
            f"allow at most {most:.4g} times the tokens that there are"
        )
    # At rate 0 a larger power is steeper, so the largest that fits is the last one that does.
    power = max(float(p) for p in _POWERS if allowed(float(p), 0.0))
    if allowed(power, _MAX_RATE):
        return curve(power, _MAX_RATE)
    low, high = 0.0, _MAX_RATE
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if allowed(power, middle) else (low, middle)
    return curve(power, low)


def largest_ratio(
    truncation: float = TRUNCATION, max_repetition: float = MAX_REPETITION, buckets: int = BUCKETS
) -> float:
    """The largest Z / X for which there is a curve."""
    whole = _shape_integral(1 - truncation, float(_POWERS[0]), 0.0)
    flattest = Curve(truncation, float(_POWERS[0]), 0.0, 1 / whole)
    return max_repetition / flattest.mean(1 - 1 / buckets, 1)


def _shape_integral(end: float, power: float, rate: float) -> float:
    """∫ u^p e^(λu) from 0 to end, by Kummer's function: end^(p+1)/(p+1) · M(p+1, p+2, λ·end)."""
    from scipy.special import hyp1f1

    return float(end ** (power + 1) / (power + 1) * hyp1f1(power + 1, power + 2, rate * end))
