"""The upsampling curve keeps its constraints, and equals what brute force integrates."""

import numpy as np
import pytest

from olmoflow.curate.quality.curve import Curve, largest_ratio, solve_curve
from olmoflow.errors import UserError


def brute(curve, low, high, steps=2_000_001):
    x = np.linspace(low, high, steps)
    y = curve(x)
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


@pytest.mark.parametrize("ratio", [0.05, 0.3, 1.0, 1.8, 2.5, 3.5, 4.1])
def test_the_constraints_hold(ratio):
    curve = solve_curve(ratio)
    assert curve.integral(0, 1) == pytest.approx(ratio, abs=1e-9)
    assert curve.mean(0.95, 1) <= 7 + 1e-9
    assert curve.rate >= 0
    factors = curve.factors()
    assert (factors[:8] == 0).all()
    assert (np.diff(factors[8:]) > 0).all()
    assert factors.mean() == pytest.approx(ratio, abs=1e-9)
    # As steep as it may be: the best bucket is at its limit, or power and rate at theirs.
    assert factors[-1] == pytest.approx(7, abs=1e-6) or (curve.power, curve.rate) == (2.0, 2.0)


@pytest.mark.parametrize("curve", [solve_curve(2.2), Curve(0.4, 0.5, 1.7, 3.0), solve_curve(0.5)])
def test_integrals_are_those_of_brute_force(curve):
    for low, high in [(0.0, 1.0), (0.0, 0.4), (0.35, 0.45), (0.5, 0.55), (0.95, 1.0)]:
        assert curve.integral(low, high) == pytest.approx(brute(curve, low, high), abs=2e-6)
        assert curve.mean(low, high) == pytest.approx(curve.integral(low, high) / (high - low))


def test_a_kinder_truncation_and_other_buckets():
    curve = solve_curve(2.0, truncation=0.0, max_repetition=3.0, buckets=10)
    assert curve.integral(0, 1) == pytest.approx(2.0, abs=1e-9)
    assert curve.factors(10)[-1] <= 3 + 1e-9
    assert curve.factors(10)[0] > 0


def test_more_than_the_flattest_curve_allows_is_refused_with_the_most_there_is():
    most = largest_ratio()
    assert 4.1 < most < 0.6 * 7  # a constant 7 over what is left would be 4.2
    assert solve_curve(most - 1e-6).integral(0, 1) == pytest.approx(most, abs=1e-5)
    with pytest.raises(UserError, match=f"allow at most {most:.4g} times the tokens"):
        solve_curve(most + 1e-6)
    with pytest.raises(UserError, match="ratio=0: expected more than 0"):
        solve_curve(0)
    with pytest.raises(
        UserError, match=r"truncation=0\.95: expected at least 0 and less than 0.95"
    ):
        solve_curve(1, truncation=0.95)
