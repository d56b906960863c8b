"""Sigmoids with known parameters are found again; what is no accuracy is refused."""

import numpy as np
import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.scaling import Sigmoid, fit_sigmoid

CURVE = Sigmoid(height=0.7, middle=0.9, slope=-6.0, floor=0.25)
X = np.linspace(0.5, 1.4, 14)


def test_the_form():
    assert CURVE.predict(np.array([0.9]))[0] == pytest.approx(0.25 + 0.35)
    assert CURVE.predict(np.array([50.0]))[0] == pytest.approx(0.25)
    assert CURVE.predict(np.array([-50.0]))[0] == pytest.approx(0.95)


def test_without_noise_a_sigmoid_is_found_exactly():
    found = fit_sigmoid(X, CURVE.predict(X), anchor=None)
    assert vars(found) == pytest.approx(vars(CURVE), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_with_noise_it_is_found_nearly(seed):
    accuracies = CURVE.predict(X) + np.random.default_rng(seed).normal(0, 0.004, len(X))
    found = fit_sigmoid(X, accuracies, anchor=None)
    assert found.predict(X) == pytest.approx(CURVE.predict(X), abs=0.01)
    assert found.floor == pytest.approx(0.25, abs=0.03)


def test_the_anchor_holds_what_only_the_foot_was_seen_of():
    x = np.linspace(1.0, 1.3, 8)
    accuracies = CURVE.predict(x) + np.random.default_rng(0).normal(0, 0.01, len(x))
    found = fit_sigmoid(x, accuracies, anchor=1.0)
    assert found.predict(np.array([0.0]))[0] == pytest.approx(1.0, abs=0.02)
    assert found.predict(x) == pytest.approx(CURVE.predict(x), abs=0.02)


def test_accuracy_falls_and_stays_a_share():
    rising = np.linspace(0.3, 0.6, len(X))
    found = fit_sigmoid(X, rising, anchor=None).predict(np.linspace(0.01, 5, 99))
    assert (np.diff(found) <= 1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("x", "accuracies", "message"),
    [
        (X, CURVE.predict(X) * 100, "accuracies from .* expected shares between 0 and 1"),
        (X[:3], CURVE.predict(X[:3]), "3 different bits per byte for a sigmoid of 4 parameters"),
        (np.repeat(X[:2], 4), np.repeat([0.4, 0.5], 4), "2 different bits per byte"),
        (X - 0.5, CURVE.predict(X), "expected finite bits per byte above 0"),
        (X, np.full(len(X), np.nan), "expected shares between 0 and 1"),
    ],
)
def test_what_is_no_ladder_of_accuracies(x, accuracies, message):
    with pytest.raises(UserError, match=message):
        fit_sigmoid(x, accuracies)
