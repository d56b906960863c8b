"""Plots of a study: the law over each variable, the sigmoid, and predictions beside measurements.

Dots are runs, lines the law; beyond the runs that it was fitted to a line is dashed. Stars are runs
that no fit has seen, crosses what the law said of them, with its 95 % interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from olmoflow.evaluate.scaling.study import Forecast, Study

LAW, ACCURACY, PREDICTIONS = "law.png", "accuracy.png", "predictions.png"
AXES = {
    "parameters": "parameters without the input embedding",
    "tokens": "tokens",
    "compute": "compute (floating-point operations)",
}
_SHORT = {"parameters": "N", "tokens": "D", "compute": "C"}
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_TARGET = "tab:red"
# Runs whose variable differs by less are one line: batches round the tokens.
_ALIKE = 1.05
_MARGIN = 1.15
_LINES = 8


def draw_study(study: Study, metric: str, accuracy: str | None, folder: Path) -> list[Path]:
    """Draw what there is to draw.

    Args:
        study: The fits.
        metric: Label of the loss, with its unit.
        accuracy: Label of the accuracy.
        folder: Where the PNGs go; exists.
    """
    drawn = [_draw_law(study, metric, folder / LAW)]
    if study.fit.sigmoid is not None:
        path = folder / ACCURACY
        drawn.append(_draw_accuracy(study, metric, accuracy or "accuracy", path))
    if any(f.loss.mean is not None for f in [*study.forecasts, *study.left_out]):
        drawn.append(_draw_predictions(study, metric, folder / PREDICTIONS))
    return drawn


def short(value: float) -> str:
    """A count with three digits: 1.28B, 329k; beyond trillions as a power of ten."""
    if value >= 1e15:
        return f"{value:.3g}"
    for unit, letter in _UNITS:
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.3g}"


def _draw_law(study: Study, metric: str, path: Path) -> Path:
    count = len(study.variables)
    figure, panels = _figure(count, width=5.2 * count if count > 1 else 6.5)
    for i, (axes, variable) in enumerate(zip(panels, study.variables, strict=True)):
        _draw_lines(axes, study, i)
        axes.set_xscale("log")
        axes.set_xlabel(AXES.get(variable, variable))
        axes.set_ylabel(metric if i == 0 else "")
        _count_ticks(axes)
        _tidy(axes)
    return _save(figure, path)


def _draw_lines(axes: Any, study: Study, i: int) -> None:
    """The panel of variable i: a line for each setting of the other one, where there is one."""
    from matplotlib import colormaps

    lines = _Lines(study, i)
    along = [x[i] for x in _settings(study)]
    low, high = min(along) / _MARGIN, max(along) * _MARGIN
    places = np.linspace(0.0, 0.85, len(lines.values)) if len(lines.values) > 1 else [0.3]
    for value, place in zip(lines.values, places, strict=True):
        runs = [r for r in study.rungs if lines.of(r.x) == value]
        color = colormaps["viridis"](place) if runs else _TARGET
        reach = max((r.x[i] for r in runs), default=low)
        axes.plot([r.x[i] for r in runs], [r.loss for r in runs], "o", color=color, markersize=4)
        label = lines.label(value)
        if runs:
            axes.plot(*lines.curve(value, low, reach), color=color, linewidth=1.3, label=label)
            label = None
        beyond = {"linewidth": 1.1, "linestyle": (0, (4, 3)), "label": label}
        axes.plot(*lines.curve(value, reach, high), color=color, **beyond)
    _draw_targets(axes, study, i)
    if len(study.variables) > 1 and len(lines.values) <= _LINES:
        axes.legend(frameon=False, fontsize="small")


class _Lines:
    """Which runs are one line of a panel: those alike in the other variable, or in the ratio.

    A ladder in multiples of Chinchilla's tokens has as many numbers of tokens as runs, but few
    numbers of tokens per parameter.
    """

    def __init__(self, study: Study, i: int) -> None:
        self.study, self.i = study, i
        self.other = 1 - i if len(study.variables) > 1 else None
        self.ratios = False
        self.values = self._found()
        if len(self.values) > _LINES:
            self.ratios = True
            self.values = self._found()

    def of(self, x: Sequence[float]) -> float:
        """The line of a setting; of settings that are alike the smallest among the runs."""
        wanted = self._setting(x)
        known = [self._setting(run.x) for run in self.study.rungs]
        return min((v for v in known if 1 / _ALIKE < v / wanted < _ALIKE), default=wanted)

    def label(self, value: float) -> str | None:
        """The line's name in the legend."""
        if self.other is None:
            return None
        name = "D / N" if self.ratios else _SHORT[self.study.variables[self.other]]
        return f"{name} = {short(value)}"

    def curve(self, value: float, start: float, stop: float) -> tuple[Any, Any]:
        """The law along a line."""
        along = np.geomspace(start, stop, 60)
        x = np.empty((60, len(self.study.variables)))
        x[:, self.i] = along
        if self.other is not None:
            per_parameter = along * value if self.other == 1 else along / value
            x[:, self.other] = per_parameter if self.ratios else value
        return along, self.study.fit.law.predict(x)

    def _found(self) -> list[float]:
        return sorted({self.of(x) for x in _settings(self.study)})

    def _setting(self, x: Sequence[float]) -> float:
        if self.other is None:
            return 1.0
        return x[1] / x[0] if self.ratios else x[self.other]


def _draw_targets(axes: Any, study: Study, i: int) -> None:
    """Predictions with their intervals, and what came out."""
    for forecast in study.forecasts:
        x, loss = forecast.x[i], forecast.loss
        if loss.interval is not None:
            axes.vlines(x, *loss.interval, color=_TARGET, linewidth=5, alpha=0.25)
        axes.plot(x, loss.predicted, "x", color=_TARGET, markersize=8, markeredgewidth=2)
        for measured in loss.measured:
            axes.plot(x, measured, "*", markersize=10, **_HOLLOW)


def _draw_accuracy(study: Study, metric: str, label: str, path: Path) -> Path:
    figure, (axes,) = _figure(1, width=6.5)
    assert study.fit.sigmoid is not None
    losses = [r.loss for r in study.rungs]
    known = [f.loss.predicted for f in study.forecasts]
    low, high = min([*losses, *known]), max([*losses, *known])
    along = np.linspace(max(low - 0.3 * (high - low), 1e-6), high + 0.1 * (high - low), 200)
    axes.plot(along, study.fit.sigmoid.predict(along), color="0.45", label="sigmoid")
    axes.plot(losses, [r.accuracy for r in study.rungs], "o", color="tab:blue", label="runs")
    for n, forecast in enumerate(study.forecasts):
        assert forecast.accuracy is not None
        x, each = forecast.loss.predicted, forecast.accuracy
        if each.interval is not None:
            axes.vlines(x, *each.interval, color=_TARGET, linewidth=5, alpha=0.25)
        axes.plot(
            *(x, each.predicted, "x"),
            **{"color": _TARGET, "markersize": 8, "markeredgewidth": 2},
            label=None if n else "predicted",
        )
        for loss, value in zip(forecast.loss.measured, each.measured, strict=False):
            axes.plot(loss, value, "*", markersize=10, **_HOLLOW)
    axes.set_xlabel(metric)
    axes.set_ylabel(label)
    axes.legend(frameon=False, fontsize="small")
    _tidy(axes)
    return _save(figure, path)


def _draw_predictions(study: Study, metric: str, path: Path) -> Path:
    """Predicted over measured: the fitted runs, the largest size by the others, the held out."""
    figure, (axes,) = _figure(1, width=5.2)
    x = np.array([r.x for r in study.rungs])
    axes.plot(
        [r.loss for r in study.rungs], study.fit.law.predict(x), "o", color="tab:blue", markersize=4
    )
    axes.lines[-1].set_label("fitted")
    kinds: list[tuple[Sequence[Forecast], str, str, str]] = [
        (study.left_out, "^", "tab:orange", "largest size, by a law without it"),
        (study.forecasts, "*", _TARGET, "held out"),
    ]
    for forecasts, marker, color, label in kinds:
        pairs = [(m, f.loss.predicted) for f in forecasts for m in f.loss.measured]
        if pairs:
            size = 11 if marker == "*" else 6
            axes.plot(*zip(*pairs, strict=True), marker, color=color, label=label, markersize=size)
    ends = np.array([min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], 0)])
    axes.plot(ends, ends, color="0.6", linewidth=1, zorder=0)
    axes.fill_between(ends, ends * 0.99, ends * 1.01, color="0.6", alpha=0.2, linewidth=0, zorder=0)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_xlabel(f"measured {metric}")
    axes.set_ylabel(f"predicted {metric}")
    axes.set_title("grey: within 1 %", fontsize="small", color="0.35")
    axes.legend(frameon=False, fontsize="small")
    _tidy(axes)
    return _save(figure, path)


_HOLLOW = {"markerfacecolor": "white", "markeredgecolor": _TARGET, "markeredgewidth": 1.4}


def _settings(study: Study) -> list[tuple[float, ...]]:
    return [run.x for run in study.rungs] + [each.x for each in study.forecasts]


def _figure(panels: int, *, width: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.3), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, panels, squeeze=False, sharey=True)[0]


def _tidy(axes: Any) -> None:
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _count_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axes.get_xlim()
    subs: tuple[float, ...] = (1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs))
    axes.xaxis.set_minor_locator(NullLocator())
    shown: Callable[[float, int], str] = lambda value, _: short(value)  # noqa: E731
    axes.xaxis.set_major_formatter(FuncFormatter(shown))


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, dpi=140, metadata={"Software": None})
    return path
