"""Laws with known parameters are found again; runs that determine none are refused."""

import numpy as np
import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.scaling import PowerLaw, fit_power_law

ND = ("parameters", "tokens")
# Hoffmann et al. 2022, appendix D.3: their approach 3.
CHINCHILLA = PowerLaw(ND, 1.69, (406.4, 410.7), (0.34, 0.28))
GRID = np.array([(n, n * r) for n in np.geomspace(50e6, 8e9, 8) for r in (5, 10, 20, 40, 80)])
# Ai2's ladder: N of 190M, 370M, 760M and 1B, with 1, 2, 5 and 10 times 20 tokens per parameter.
LADDER = np.array(
    [(n, 20 * n * m) for n in (190e6, 371e6, 758e6, 1279e6) for m in (1, 2, 5, 10)], dtype=float
)


def noisy(law, x, noise, seed):
    return law.predict(x) * np.exp(noise * np.random.default_rng(seed).normal(size=len(x)))


def test_the_published_form():
    """Chinchilla itself: 70B parameters, 1.4T tokens."""
    assert CHINCHILLA.predict(np.array([[70e9, 1.4e12]]))[0] == pytest.approx(1.937, abs=5e-4)
    by_hand = 1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28
    assert CHINCHILLA.predict(np.array([[70e9, 1.4e12]]))[0] == pytest.approx(by_hand, rel=1e-12)


def test_without_noise_a_law_is_found_exactly():
    found = fit_power_law(GRID, CHINCHILLA.predict(GRID), ND)
    assert found.floor == pytest.approx(1.69, rel=1e-6)
    assert found.scales == pytest.approx((406.4, 410.7), rel=1e-5)
    assert found.exponents == pytest.approx((0.34, 0.28), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_with_the_noise_of_runs_a_law_is_found_nearly(seed):
    found = fit_power_law(GRID, noisy(CHINCHILLA, GRID, 0.002, seed), ND)
    assert found.floor == pytest.approx(1.69, abs=0.05)
    assert found.exponents == pytest.approx((0.34, 0.28), abs=0.03)
    large = np.array([[70e9, 1.4e12]])
    assert found.predict(large)[0] == pytest.approx(CHINCHILLA.predict(large)[0], rel=0.01)


def test_a_diverged_run_does_not_bend_the_law():
    losses = noisy(CHINCHILLA, GRID, 0.001, 0)
    losses[7] *= 1.3
    found = fit_power_law(GRID, losses, ND)
    large = np.array([[70e9, 1.4e12]])
    assert found.predict(large)[0] == pytest.approx(CHINCHILLA.predict(large)[0], rel=0.01)


def test_units_of_parameters_and_tokens_do_not_matter():
    losses = noisy(CHINCHILLA, LADDER, 0.003, 1)
    plain, millions = (fit_power_law(x, losses, ND) for x in (LADDER, LADDER / 1e6))
    assert plain.exponents == pytest.approx(millions.exponents, rel=1e-4)
    assert plain.predict(LADDER) == pytest.approx(millions.predict(LADDER / 1e6), rel=1e-6)


@pytest.mark.parametrize("floor", [0.5, 0.0])
def test_a_law_of_compute(floor):
    law = PowerLaw(("compute",), floor, (5e3,), (0.2,))
    x = np.geomspace(1e18, 1e22, 9)[:, None]
    found = fit_power_law(x, law.predict(x), ("compute",))
    assert found.floor == pytest.approx(floor, abs=1e-4)
    assert found.exponents == pytest.approx((0.2,), abs=1e-4)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (LADDER[:4], "runs of 4 different parameters and tokens for a law of 5 parameters"),
        (np.repeat(LADDER[:2], 9, axis=0), "runs of 2 different parameters and tokens"),
        (LADDER[:8], r"parameters take 2 values from 1.9e.08 to 3.71e.08"),
        (
            np.array([(n * 1e6, d * 1e9) for n in (100, 110, 120) for d in (1, 2, 4)]),
            "parameters take 3 values from 1e.08 to 1.2e.08; expected .* over a factor of 2 or",
        ),
        (
            np.array([(n, 20 * n) for n in (1e6, 2e6, 4e6, 8e6, 16e6)]),
            r"change together \(r = 1.000, 20 to 20 tokens per parameter\)",
        ),
        (
            np.array([(n, n**2) for n in (1e6, 2e6, 4e6, 8e6, 16e6)]),
            r"parameters and tokens change together .* or variables=\[compute\]",
        ),
    ],
)
def test_runs_that_determine_no_law(x, message):
    with pytest.raises(UserError, match=message):
        fit_power_law(x, CHINCHILLA.predict(x), ND)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_loss_that_is_none(bad):
    losses = CHINCHILLA.predict(LADDER)
    losses[3] = bad
    with pytest.raises(UserError, match="expected finite losses above 0 in every run"):
        fit_power_law(LADDER, losses, ND)
