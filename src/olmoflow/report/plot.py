"""Curves of a report: a line a row, the mean of its runs, with a band from lowest to highest."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from olmoflow.report.rows import Report, number
from olmoflow.report.runs import Run

_TOKENS = "throughput/total tokens"
_LABELS = {
    "train/CE loss": "training loss (nats per token)",
    "train/preference loss": "preference loss (nats per pair)",
}
_LEGEND_INSIDE = 6  # rows; a longer legend stands beside the axes
Curve = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def draw(report: Report, column: str, path: Path) -> bool:
    """Draw one column of the runs' metrics.csv over the tokens seen.

    Args:
        report: Its rows are the lines.
        column: Of metrics.csv.
        path: The PNG.

    Returns:
        Whether there was anything to draw.
    """
    curves = [
        (row, [c for run in row.runs if (c := read_curve(run, column)) is not None])
        for row in report.rows
    ]
    curves = [(row, found) for row, found in curves if found]
    if not curves:
        return False
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    beside = len(curves) > _LEGEND_INSIDE
    figure = Figure(figsize=(9.5 if beside else 7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    styles = _styles([row.setting for row, _ in curves])
    largest = max(tokens[-1] for _, found in curves for tokens, _ in found)
    unit, name = _unit(largest)
    for (row, found), style in zip(curves, styles, strict=True):
        tokens, lowest, mean, highest = _over_seeds(found)
        label = f"{row.label} (n = {len(found)})" if len(found) > 1 else row.label
        # A short run reported once: a point, and a bar for its seeds.
        marker = "o" if len(tokens) == 1 else None
        axes.plot(tokens / unit, mean, label=label, linewidth=1.6, marker=marker, **style)
        if len(found) > 1 and marker:
            axes.vlines(tokens / unit, lowest, highest, color=style["color"])
        elif len(found) > 1:
            axes.fill_between(
                tokens / unit, lowest, highest, color=style["color"], alpha=0.18, linewidth=0
            )
    # The first steps fall so far that the ends would lie on top of each other.
    axes.set_xscale("log")
    axes.set_xlabel(f"tokens{name}")
    axes.set_ylabel(_LABELS.get(column, column))
    axes.set_title(report.title, fontsize="medium")
    _plain_ticks(axes)
    axes.grid(which="major", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        where: Any = figure if beside else axes
        place = "outside right upper" if beside else "best"
        where.legend(frameon=False, fontsize="small", loc=place)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    return True


def read_curve(run: Run, column: str) -> Curve | None:
    """Tokens and values of a run's column; None if it has none."""
    if run.curve is None:
        return None
    with run.curve.open(newline="") as file:
        rows = [
            (float(row.get(_TOKENS) or row["step"]), float(row[column]))
            for row in csv.DictReader(file)
            if row.get(column)
        ]
    if not rows:
        return None
    tokens, values = np.array(rows).T
    return tokens, values


def _over_seeds(curves: Sequence[Curve]) -> tuple[np.ndarray[Any, Any], ...]:
    """Tokens, lowest, mean and highest at the tokens that all of a row's curves have."""
    shared = curves[0][0]
    for tokens, _ in curves[1:]:
        shared = np.intersect1d(shared, tokens)
    if not len(shared):
        # Reported at other steps: compared where the first one was.
        shared = curves[0][0]
    values = np.stack([np.interp(shared, tokens, column) for tokens, column in curves])
    return shared, values.min(0), values.mean(0), values.max(0)


def _styles(settings: Sequence[Any]) -> list[dict[str, Any]]:
    """A colour a line: along a scale where one number varies, otherwise as different as can be."""
    from matplotlib import colormaps

    numbers = [number(next(iter(s.values()), "")) if len(s) == 1 else None for s in settings]
    if len(settings) > 2 and all(n is not None for n in numbers):
        places = np.linspace(0.0, 0.88, len(settings))
        return [{"color": colormaps["viridis"](place)} for place in places]
    colors, dashes = colormaps["tab10"], ("-", "--", ":", "-.")
    return [
        {"color": colors(i % 10), "linestyle": dashes[i // 10 % 4]} for i in range(len(settings))
    ]


def _unit(largest: float) -> tuple[float, str]:
    for unit, name in ((1e12, " (trillions)"), (1e9, " (billions)"), (1e6, " (millions)")):
        if largest >= unit:
            return unit, name
    return (1e3, " (thousands)") if largest >= 1e4 else (1.0, "")


def _plain_ticks(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
