"""The second step of a scaling law: a task's accuracy as a sigmoid of its bits per byte.

Accuracy(x) = a / (1 + exp(−k (x − x₀))) + b (Bhagia et al., arXiv 2412.04403). Here k < 0 and
a, b ≥ 0 with a + b ≤ 1: accuracy falls from at most 1 to at least 0 as the bits per byte rise.

Ladders of small models see little more than the curve's foot, so the paper's fit is held by one
point that no run has: at 0 bits per byte every answer is right (``anchor=1``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError

Array = NDArray[np.float64]
_PARAMETERS = 4
_STARTS = 2
# Steepest and flattest k, in units of 1 / (the range of x).
_STEEPNESS = (0.1, 100.0)


@dataclass(frozen=True)
class Sigmoid:
    """Accuracy(x) = a / (1 + exp(−k (x − x₀))) + b.

    Attributes:
        height: a.
        middle: x₀, in bits per byte.
        slope: k, below 0.
        floor: b, what is right by chance.
    """

    height: float
    middle: float
    slope: float
    floor: float

    def predict(self, x: Array) -> Array:
        """Accuracies of bits per byte: [n] -> [n]."""
        rise: Array = self.height * _logistic(self.slope * (x - self.middle)) + self.floor
        return rise


def fit_sigmoid(x: Array, accuracies: Array, *, anchor: float | None = 1.0) -> Sigmoid:
    """Fit a sigmoid by least squares.

    Args:
        x: [runs], bits per byte.
        accuracies: [runs], between 0 and 1.
        anchor: The accuracy at 0 bits per byte, one more point; None: none.

    Raises:
        UserError: There are fewer runs than parameters, all alike, or accuracies are no shares.
    """
    _check(x, accuracies)
    if anchor is not None:
        x, accuracies = np.append(x, 0.0), np.append(accuracies, anchor)
    scale = float(np.ptp(x))
    found = [_polish(start, x, accuracies, scale) for start in _starts(x, accuracies, scale)]
    floor, share, log_slope, middle = min(found, key=lambda each: each[0])[1]
    return Sigmoid(
        float(share * (1 - floor)), float(middle), float(-np.exp(log_slope) / scale), float(floor)
    )


def _check(x: Array, accuracies: Array) -> None:
    if not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise UserError(
            f"scaling: accuracies from {accuracies.min():.4g} to {accuracies.max():.4g}; expected "
            "shares between 0 and 1"
        )
    if not (np.isfinite(x).all() and (x > 0).all()):
        raise UserError("scaling: expected finite bits per byte above 0 in every run")
    if (count := len(np.unique(x))) < _PARAMETERS:
        raise UserError(
            f"scaling: {count} different bits per byte for a sigmoid of {_PARAMETERS} parameters; "
            f"expected at least {_PARAMETERS}"
        )


def _starts(x: Array, accuracies: Array, scale: float) -> list[Array]:
    """[b, a / (1 − b), log −k · scale, x₀] from a grid of k and x₀, best first.

    Given these two the curve is linear in the others.
    """
    from scipy.optimize import nnls

    found = []
    steep = np.log(np.geomspace(0.5, 50, 8))
    for log_slope, middle in product(steep, np.linspace(x.min(), x.max(), 9)):
        curve = _logistic(-np.exp(log_slope) / scale * (x - middle))
        (height, floor), error = nnls(np.column_stack([curve, np.ones(len(x))]), accuracies)
        floor = np.clip(floor, 0.0, 0.99)
        share = np.clip(height / (1 - floor), 0.01, 1.0)
        found.append((error, np.array([floor, share, log_slope, middle])))
    return [start for _, start in sorted(found, key=lambda each: each[0])[:_STARTS]]


def _polish(start: Array, x: Array, accuracies: Array, scale: float) -> tuple[float, Array]:
    from scipy.optimize import least_squares

    def errors(parameters: Array) -> Array:
        floor, share, log_slope, middle = parameters
        curve = _logistic(-np.exp(log_slope) / scale * (x - middle))
        off: Array = share * (1 - floor) * curve + floor - accuracies
        return off

    flat, steep = np.log(_STEEPNESS)
    bounds = ([0, 0, flat, x.min() - 2 * scale], [1, 1, steep, x.max() + 2 * scale])
    found = least_squares(errors, start, bounds=bounds, x_scale=[0.1, 0.1, 1, scale])
    return float(found.cost), np.asarray(found.x)


def _logistic(x: Array) -> Array:
    from scipy.special import expit

    curve: Array = expit(x)
    return curve
