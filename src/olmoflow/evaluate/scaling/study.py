"""A ladder of runs as one study: the laws fitted to it, their uncertainty, and predictions.

- ``fit_ladder`` fits both steps; a prediction of accuracy is the second of the first (chained).
- ``resample`` is the bootstrap over runs: the spread of laws fitted to runs drawn with replacement.
- ``leave_largest_out`` fits the ladder without its largest size and predicts that, the only test of
  an extrapolation that needs no further run.

A prediction's error is (predicted − measured) / measured, as in Bhagia et al. 2024.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.evaluate.scaling.power_law import HUBER_DELTA, STARTS, PowerLaw, fit_power_law
from olmoflow.evaluate.scaling.sigmoid import Sigmoid, fit_sigmoid

Array = NDArray[np.float64]
Interval = tuple[float, float]
_QUANTILES = (0.025, 0.975)
# A bootstrap draws anew what determines no law; this often, and the ladder is too small for one.
_REDRAWS = 20
# Of each fit of the bootstrap: there are many.
_STARTS = 2


@dataclass(frozen=True)
class Rung:
    """One run of a ladder.

    Attributes:
        name: Of the run.
        x: The variables of the law.
        loss: What the law is of.
        accuracy: What the sigmoid is of, between 0 and 1; None: no second step.
    """

    name: str
    x: tuple[float, ...]
    loss: float
    accuracy: float | None = None


@dataclass(frozen=True)
class Settings:
    """How laws are fitted.

    Attributes:
        delta: Of the Huber loss, on log-ratios.
        starts: That are polished.
        resamples: Of the bootstrap; 0: no intervals.
        seed: Of the bootstrap.
        anchor: Accuracy at 0 bits per byte; None: no such point.
    """

    delta: float = HUBER_DELTA
    starts: int = STARTS
    resamples: int = 200
    seed: int = 0
    anchor: float | None = 1.0

    def __post_init__(self) -> None:
        for name in ("delta", "starts", "resamples", "seed"):
            value, positive = getattr(self, name), name in ("delta", "starts")
            if value < 0 or (positive and value == 0):
                expected = "more than 0" if positive else "0 or more"
                raise UserError(f"fit.{name}={value}: expected {expected}")


@dataclass(frozen=True)
class Fit:
    """Both steps.

    Attributes:
        law: Variables to loss.
        sigmoid: Loss to accuracy, or None.
    """

    law: PowerLaw
    sigmoid: Sigmoid | None

    def accuracies(self, x: Array) -> Array | None:
        """The chained prediction: [runs, variables] -> [runs]."""
        return None if self.sigmoid is None else self.sigmoid.predict(self.law.predict(x))


@dataclass(frozen=True)
class Measure:
    """A quantity that was predicted, and what it was where it has been measured.

    Attributes:
        predicted: By the law.
        interval: 95 %, of the law alone, by the bootstrap; None without one.
        measured: One value a run.
    """

    predicted: float
    interval: Interval | None = None
    measured: Sequence[float] = ()

    @property
    def mean(self) -> float | None:
        """Over the runs that measured it."""
        return statistics.fmean(self.measured) if self.measured else None

    @property
    def noise(self) -> float | None:
        """Sample standard deviation over the runs, as a share of the mean."""
        if self.mean is None or len(self.measured) < 2:
            return None
        return statistics.stdev(self.measured) / self.mean

    @property
    def error(self) -> float | None:
        """(predicted − measured) / measured."""
        return None if self.mean is None else self.predicted / self.mean - 1


@dataclass(frozen=True)
class Forecast:
    """What the ladder says of one setting.

    Attributes:
        x: The variables.
        loss: By the law.
        accuracy: By the sigmoid of it, or None.
        nearest: The mean loss of the nearest rungs of the largest size: a forecast without a law.
    """

    x: tuple[float, ...]
    loss: Measure
    accuracy: Measure | None
    nearest: float

    @property
    def nearest_error(self) -> float | None:
        """The error of the forecast without a law."""
        return None if self.loss.mean is None else self.nearest / self.loss.mean - 1


@dataclass(frozen=True)
class Study:
    """A ladder, its laws and what they say.

    Attributes:
        variables: Of the law.
        rungs: The runs that it is fitted to.
        fit: To all of them.
        samples: Of the bootstrap.
        forecasts: Of the settings that were asked for and the runs that were held out.
        left_out: Of the largest size, by a law without it; empty where that determines none.
        refused: Why it determines none.
    """

    variables: tuple[str, ...]
    rungs: Sequence[Rung]
    fit: Fit
    samples: Sequence[Fit]
    forecasts: Sequence[Forecast]
    left_out: Sequence[Forecast] = ()
    refused: str | None = None


def study_ladder(
    rungs: Sequence[Rung],
    variables: Sequence[str],
    *,
    targets: Sequence[tuple[float, ...]] = (),
    held_out: Sequence[Rung] = (),
    settings: Settings | None = None,
) -> Study:
    """Fit, resample, predict, and leave the largest size out.

    Args:
        rungs: The runs to fit, several of one setting (seeds) allowed.
        variables: Names of the entries of their x.
        targets: Settings to predict.
        held_out: Runs to predict, which no fit sees.
        settings: Of the fits.

    Raises:
        UserError: The runs do not determine the laws.
    """
    settings = settings or Settings()
    fit = fit_ladder(rungs, variables, settings)
    samples = resample(rungs, variables, settings, settings.resamples)
    wanted = dict.fromkeys([*targets, *(run.x for run in held_out)])
    forecasts = [_forecast(x, fit, samples, rungs, held_out) for x in wanted]
    left_out: list[Forecast] = []
    refused = None
    try:
        left_out = leave_largest_out(rungs, variables, settings)
    except UserError as error:
        refused = str(error)
    return Study(tuple(variables), rungs, fit, samples, forecasts, left_out, refused)


def fit_ladder(rungs: Sequence[Rung], variables: Sequence[str], settings: Settings) -> Fit:
    """Fit both steps to runs.

    Raises:
        UserError: They do not determine them, or only some have an accuracy.
    """
    x, losses = _x(rungs), np.array([run.loss for run in rungs])
    law = fit_power_law(x, losses, variables, delta=settings.delta, starts=settings.starts)
    accuracies = [run.accuracy for run in rungs if run.accuracy is not None]
    if not accuracies:
        return Fit(law, None)
    if len(accuracies) < len(rungs):
        missing = next(run.name for run in rungs if run.accuracy is None)
        raise UserError(f"scaling: {missing} has no accuracy; expected one of every run or of none")
    return Fit(law, fit_sigmoid(losses, np.array(accuracies), anchor=settings.anchor))


def resample(
    rungs: Sequence[Rung], variables: Sequence[str], settings: Settings, count: int
) -> list[Fit]:
    """Fits to runs drawn with replacement.

    Raises:
        UserError: Hardly any draw determines a law.
    """
    generator = np.random.default_rng(settings.seed)
    quick = replace(settings, starts=min(settings.starts, _STARTS))
    fits: list[Fit] = []
    for _ in range(count * _REDRAWS):
        if len(fits) == count:
            break
        drawn = [rungs[i] for i in generator.integers(len(rungs), size=len(rungs))]
        try:
            fits.append(fit_ladder(drawn, variables, quick))
        except UserError:
            continue
    if len(fits) < count:
        raise UserError(
            f"scaling: of {count * _REDRAWS} bootstrap draws only {len(fits)} determine a law; "
            "expected more runs, or fit.resamples=0"
        )
    return fits


def leave_largest_out(
    rungs: Sequence[Rung], variables: Sequence[str], settings: Settings
) -> list[Forecast]:
    """Forecasts of the runs of the largest size (the first variable) by the law of the others.

    Raises:
        UserError: The others do not determine the law.
    """
    largest = max(run.x[0] for run in rungs)
    rest = [run for run in rungs if run.x[0] < largest]
    out = [run for run in rungs if run.x[0] == largest]
    fit = fit_ladder(rest, variables, settings)
    return [_forecast(x, fit, [], rest, out) for x in dict.fromkeys(run.x for run in out)]


def _forecast(
    x: tuple[float, ...],
    fit: Fit,
    samples: Sequence[Fit],
    rungs: Sequence[Rung],
    measured: Sequence[Rung],
) -> Forecast:
    row = np.array([x])
    runs = [run for run in measured if run.x == x]
    loss = Measure(
        float(fit.law.predict(row)[0]),
        _interval([float(each.law.predict(row)[0]) for each in samples]),
        [run.loss for run in runs],
    )
    accuracy = None
    if (chained := fit.accuracies(row)) is not None:
        spread = [float(a[0]) for each in samples if (a := each.accuracies(row)) is not None]
        known = [run.accuracy for run in runs if run.accuracy is not None]
        accuracy = Measure(float(chained[0]), _interval(spread), known)
    return Forecast(x, loss, accuracy, _nearest(x, rungs))


def _interval(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    low, high = np.quantile(values, _QUANTILES).tolist()
    return low, high


def _nearest(x: tuple[float, ...], rungs: Sequence[Rung]) -> float:
    """The mean loss of the largest rungs whose other variables are nearest to x."""
    largest = max(run.x[0] for run in rungs)
    top = [run for run in rungs if run.x[0] == largest]

    def distance(run: Rung) -> float:
        return sum(abs(float(np.log(a / b))) for a, b in zip(run.x[1:], x[1:], strict=True))

    closest = min(map(distance, top))
    return statistics.fmean(run.loss for run in top if distance(run) <= closest + 1e-12)


def _x(rungs: Sequence[Rung]) -> Array:
    return np.array([run.x for run in rungs], dtype=np.float64)
