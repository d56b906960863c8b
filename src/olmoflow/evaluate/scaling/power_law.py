"""The first step of a scaling law: a loss as a sum of power laws and a floor.

L(x) = E + Σᵢ Aᵢ / xᵢ^αᵢ. With x = (N, D), parameters and tokens, it is the third approach of
Hoffmann et al., *Training Compute-Optimal Large Language Models* (arXiv 2203.15556, section 3.3),
which Bhagia et al., *Establishing Task Scaling Laws via Compute-Efficient Model Ladders* (arXiv
2412.04403) fit to the bits per byte of a task; with x = C, floating-point operations, it is the
latter's variant by compute.

It is fitted as there: the Huber loss (δ = 10⁻³) of log L̂ − log L, by L-BFGS over the logarithms of
E and A, so that all parameters are positive. Given the exponents the law is linear in E and A, so
the starts are a grid of exponents alone, each with its best non-negative E and A; the best starts
are polished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError

Array = NDArray[np.float64]
HUBER_DELTA = 1e-3
STARTS = 12
# Exponents that the grid of starts has for each variable, and how far a fit may go.
_GRID = np.geomspace(0.03, 2.0, 12)
_EXPONENTS = (1e-3, 5.0)
# A term this far below the losses, in units of e, is none.
_NOTHING = 16.0
# Less leaves the bend of a power law to noise.
_VALUES, _RANGE = 3, 2.0
_TOGETHER = 0.98


@dataclass(frozen=True)
class PowerLaw:
    """L(x) = floor + Σᵢ scalesᵢ / xᵢ^exponentsᵢ.

    Attributes:
        variables: What x is, by name.
        floor: E, in units of the loss.
        scales: Aᵢ.
        exponents: αᵢ.
    """

    variables: tuple[str, ...]
    floor: float
    scales: tuple[float, ...]
    exponents: tuple[float, ...]

    def predict(self, x: Array) -> Array:
        """Losses: [runs, variables] -> [runs]."""
        powers = np.exp(np.log(self.scales) - np.log(x) * np.array(self.exponents))
        losses: Array = self.floor + powers.sum(axis=1)
        return losses


def fit_power_law(
    x: Array,
    losses: Array,
    variables: Sequence[str],
    *,
    delta: float = HUBER_DELTA,
    starts: int = STARTS,
) -> PowerLaw:
    """Fit a law.

    Args:
        x: [runs, variables], above 0.
        losses: [runs], above 0: nats per token or bits per byte.
        variables: Names of the columns of x, for the law and for messages.
        delta: Where the Huber loss of the log-ratio turns from squares to absolutes.
        starts: How many of the grid's starts are polished.

    Raises:
        UserError: The runs do not determine the law; the message says what is missing.
    """
    check_runs(x, losses, variables)
    centre = np.log(x).mean(axis=0)
    logs = np.log(x) - centre  # without it, scale and exponent would be all but one parameter
    best = min(
        (_polish(start, logs, losses, delta) for start in _starts(logs, losses, delta)[:starts]),
        key=lambda found: found[0],
    )[1]
    k = len(variables)
    floor, scales, exponents = best[0], best[1 : k + 1], best[k + 1 :]
    return PowerLaw(
        tuple(variables),
        float(np.exp(floor)),
        tuple(np.exp(scales + exponents * centre).tolist()),
        tuple(exponents.tolist()),
    )


def check_runs(x: Array, losses: Array, variables: Sequence[str]) -> None:
    """Whether the runs can determine a law.

    Raises:
        UserError: There are too few, over too narrow a range, or their variables rise together.
    """
    if not (np.isfinite(losses).all() and (losses > 0).all()):
        raise UserError("scaling: expected finite losses above 0 in every run")
    settings = np.unique(x, axis=0)
    needed = 1 + 2 * len(variables)
    if len(settings) < needed:
        raise UserError(
            f"scaling: runs of {len(settings)} different {' and '.join(variables)} for a law of "
            f"{needed} parameters; expected at least {needed}"
        )
    for name, column in zip(variables, settings.T, strict=True):
        low, high, count = column.min(), column.max(), len(np.unique(column))
        if count < _VALUES or high / low < _RANGE:
            raise UserError(
                f"scaling: {name} take {count} values from {low:.4g} to {high:.4g}; expected at "
                f"least {_VALUES}, over a factor of {_RANGE:g} or more"
            )
    for i, j in product(range(len(variables)), repeat=2):
        if i < j:
            _check_apart(settings[:, i], settings[:, j], variables[i], variables[j])


def _check_apart(first: Array, second: Array, name: str, other: str) -> None:
    r = np.corrcoef(np.log(first), np.log(second))[0, 1]
    if abs(r) > _TOGETHER:
        ratio = second / first
        raise UserError(
            f"scaling: {name} and {other} change together (r = {r:.3f}, {ratio.min():.4g} to "
            f"{ratio.max():.4g} {other} per {name.removesuffix('s')}), so that their shares cannot "
            "be told apart; expected several ratios, or variables=[compute]"
        )


def _starts(logs: Array, losses: Array, delta: float) -> list[Array]:
    """Starts from the grid of exponents, best first."""
    from scipy.optimize import nnls

    lowest = np.log(losses.min()) - _NOTHING
    found = []
    for exponents in product(_GRID, repeat=logs.shape[1]):
        terms = np.column_stack([np.ones(len(logs)), np.exp(-logs * exponents)])
        weights, _ = nnls(terms / losses[:, None], np.ones(len(logs)))
        with np.errstate(divide="ignore"):
            start = np.concatenate([np.maximum(np.log(weights), lowest), exponents])
        found.append((_huber(start, logs, losses, delta)[0], start))
    return [start for _, start in sorted(found, key=lambda each: each[0])]


def _polish(start: Array, logs: Array, losses: Array, delta: float) -> tuple[float, Array]:
    from scipy.optimize import minimize

    low, high = np.log(losses.min()), np.log(losses.max())
    k = logs.shape[1]
    found = minimize(
        _huber,
        start,
        (logs, losses, delta),
        method="L-BFGS-B",
        jac=True,
        # The logarithms are centred: at their mean no term is above the largest loss.
        bounds=[(low - _NOTHING, low), *[(low - _NOTHING, high + 1)] * k, *[_EXPONENTS] * k],
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-12, "gtol": 1e-9},
    )
    return float(found.fun), np.asarray(found.x)


def _huber(parameters: Array, logs: Array, losses: Array, delta: float) -> tuple[float, Array]:
    """The Huber loss of log L̂ − log L in units of δ², and its gradient.

    Args:
        parameters: [1 + 2k]: log E, then log A and α of each of the k variables.
        logs: [runs, k].
        losses: [runs].
        delta: δ.
    """
    k = logs.shape[1]
    terms = np.exp(
        np.column_stack(
            [np.full(len(logs), parameters[0]), parameters[1 : k + 1] - logs * parameters[k + 1 :]]
        )
    )
    predicted = terms.sum(axis=1)
    errors = (np.log(predicted) - np.log(losses)) / delta
    size = np.abs(errors)
    value = np.where(size <= 1, 0.5 * errors**2, size - 0.5).sum()
    # d log L̂ / d log E = E / L̂; likewise of each term, and d/dα = −log x · term / L̂.
    shares = terms / predicted[:, None]
    slopes = np.clip(errors, -1, 1) / delta
    gradient = np.concatenate([slopes @ shares, -(slopes @ (shares[:, 1:] * logs))])
    return float(value), gradient
