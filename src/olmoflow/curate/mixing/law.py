"""The log-linear mixing law: a score as a function of the mixture.

For each task, score(w) = e^c + e^(t·w): a floor that no mixture gets below, and what the mixture
leaves above it (Ye et al., Data Mixing Laws, 2024, in the form that Olmix fits). It is fitted with
a Huber loss, so that one failed proxy does not bend it, from many starts, since the loss has
several valleys.

The optimiser is scipy's L-BFGS-B, whose line search ends on the strong Wolfe conditions; the bounds
only keep the exponentials from overflowing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError

Array = NDArray[np.float64]
HUBER_DELTA = 0.02
STARTS = 300
_BOUND = 20.0
# A start in a valley that is the best by less than this is in the same one.
_SAME = 1e-10


@dataclass(frozen=True)
class Law:
    """A law for each task.

    Attributes:
        tasks: Their names.
        floors: [tasks], c.
        slopes: [tasks, domains], t.
    """

    tasks: tuple[str, ...]
    floors: Array
    slopes: Array

    def predict(self, mixtures: Array) -> Array:
        """Scores of mixtures: [runs, domains] -> [runs, tasks]."""
        scores: Array = np.exp(self.floors) + np.exp(mixtures @ self.slopes.T)
        return scores


def fit_law(
    mixtures: Array,
    scores: Array,
    tasks: Sequence[str],
    *,
    starts: int = STARTS,
    delta: float = HUBER_DELTA,
    seed: int = 0,
) -> Law:
    """Fit a law to the scores of a swarm.

    Args:
        mixtures: [runs, domains], each row sums to 1.
        scores: [runs, tasks], lower is better and above 0: bits per byte.
        tasks: Their names.
        starts: Random starts of each fit.
        delta: Where the Huber loss turns from squares to absolutes, in units of the score.
        seed: Of the starts.

    Raises:
        UserError: There are fewer runs than domains, or a score is not above 0.
    """
    runs, domains = mixtures.shape
    if runs < domains:
        raise UserError(
            f"swarm: {runs} runs for {domains} domains; the law needs at least as many runs as "
            "domains"
        )
    if scores.shape != (runs, len(tasks)):
        raise ValueError(f"scores {scores.shape} are not {runs} runs of {len(tasks)} tasks")
    if not (np.isfinite(scores).all() and (scores > 0).all()):
        raise UserError(
            "scores: expected finite numbers above 0 in every run, as bits per byte are"
        )
    generator = np.random.default_rng(seed)
    fitted = [
        _fit_task(mixtures, scores[:, task], starts, delta, generator) for task in range(len(tasks))
    ]
    return Law(tuple(tasks), np.array([p[0] for p in fitted]), np.array([p[1:] for p in fitted]))


def left_out(
    mixtures: Array,
    scores: Array,
    tasks: Sequence[str],
    *,
    folds: int | None = None,
    starts: int = 20,
    seed: int = 0,
) -> Array:
    """What a law fitted to the other runs says of each: cross-validation.

    Args:
        mixtures: [runs, domains].
        scores: [runs, tasks].
        tasks: Their names.
        folds: Into how many parts the runs are cut; None: each run by itself.
        starts: Random starts of each fit; fewer than for the law itself, there are many fits.
        seed: Of the starts and of the cut.

    Returns:
        [runs, tasks], the predictions.
    """
    runs = len(mixtures)
    fold = np.random.default_rng(seed).permutation(runs) % (folds or runs)
    predicted = np.empty_like(scores)
    for number in range(folds or runs):
        out = fold == number
        law = fit_law(mixtures[~out], scores[~out], tasks, starts=starts, seed=seed)
        predicted[out] = law.predict(mixtures[out])
    return predicted


def _fit_task(
    mixtures: Array, scores: Array, starts: int, delta: float, generator: np.random.Generator
) -> Array:
    """[1 + domains]: floor and slopes of the best of all starts."""
    from scipy.optimize import minimize

    lowest = float(scores.min())
    best: Array | None = None
    loss = np.inf
    for _ in range(starts):
        # A floor somewhere below the best score; slopes that leave about the rest.
        floor = np.log(lowest * generator.uniform(0.05, 0.99))
        rest = np.log(np.maximum(scores - np.exp(floor), 1e-3)).mean()
        start = np.concatenate([[floor], rest + generator.normal(0, 1, mixtures.shape[1])])
        found = minimize(
            _loss,
            start,
            (mixtures, scores, delta),
            method="L-BFGS-B",
            jac=True,
            bounds=[(-_BOUND, np.log(lowest)), *[(-_BOUND, _BOUND)] * mixtures.shape[1]],
            options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10},
        )
        if found.fun < loss - _SAME:
            loss, best = float(found.fun), np.asarray(found.x)
    assert best is not None
    return best


def _loss(parameters: Array, mixtures: Array, scores: Array, delta: float) -> tuple[float, Array]:
    """The Huber loss of a task, summed over the runs, and its gradient."""
    floor, above = np.exp(parameters[0]), np.exp(mixtures @ parameters[1:])
    errors = floor + above - scores
    size = np.abs(errors)
    losses = np.where(size <= delta, 0.5 * errors**2, delta * (size - 0.5 * delta))
    slope = np.clip(errors, -delta, delta)
    gradient = np.concatenate([[slope.sum() * floor], mixtures.T @ (slope * above)])
    return float(losses.sum()), gradient
