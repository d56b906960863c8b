"""A study as Markdown: the prediction first, then the law, how far to trust it, and the runs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from olmoflow.evaluate.scaling.plot import short
from olmoflow.evaluate.scaling.power_law import PowerLaw
from olmoflow.evaluate.scaling.study import Measure, Rung, Study

_LEGEND = (
    "Dots are the fitted runs, lines the law, dashed beyond the runs. Crosses are predictions with "
    "their 95 % interval, stars measured runs that no fit has seen."
)
_ZERO = 1e-6
_SYMBOLS = {"parameters": ("N", "A", "α"), "tokens": ("D", "B", "β"), "compute": ("C", "A", "α")}


def page(study: Study, title: str, metric: str, accuracy: str | None, plots: Sequence[Path]) -> str:
    """The study as a page.

    Args:
        study: What to say.
        title: The heading.
        metric: What the loss is.
        accuracy: What the accuracy is, if there is one.
        plots: Beside the page.
    """
    lines = [f"# {title}", ""]
    if study.forecasts:
        lines += ["## Prediction", "", *_forecasts(study, metric, accuracy), ""]
    lines += ["## The law", "", *_law(study, metric), "", *_trust(study), ""]
    if study.fit.sigmoid is not None:
        lines += ["## From loss to accuracy", "", *_sigmoid(study, accuracy or "accuracy"), ""]
    for path in plots:
        lines += [f"![{path.stem}]({path.name})", ""]
    lines += [_LEGEND, ""]
    lines += ["## Runs", "", *_runs(study, metric, accuracy), ""]
    return "\n".join(lines)


def formula(study: Study) -> str:
    """The law's form, such as L = E + A/N^α + B/D^β."""
    symbols = [_SYMBOLS[name] for name in study.variables]
    return "L = E + " + " + ".join(f"{a}/{x}^{power}" for x, a, power in symbols)


def parameters(law: PowerLaw) -> dict[str, float]:
    """The law's parameters by their symbols."""
    found = {"E": law.floor}
    for name, scale, power in zip(law.variables, law.scales, law.exponents, strict=True):
        _, a, alpha = _SYMBOLS[name]
        found |= {a: scale, alpha: power}
    return found


def fit_errors(study: Study) -> list[float]:
    """|predicted − measured| / measured of the runs that the law was fitted to."""
    predicted = study.fit.law.predict(np.array([run.x for run in study.rungs]))
    return [abs(float(p) / run.loss - 1) for p, run in zip(predicted, study.rungs, strict=True)]


def noise(settings: Iterable[Sequence[float]]) -> float | None:
    """Standard deviation between seeds as a share of the mean, pooled over settings.

    Args:
        settings: The losses of each; None comes back where all have one run.
    """
    several = [losses for losses in settings if len(losses) > 1]
    if not several:
        return None
    squares = sum((v / statistics.fmean(losses) - 1) ** 2 for losses in several for v in losses)
    return float((squares / sum(len(losses) - 1 for losses in several)) ** 0.5)


def by_setting(rungs: Sequence[Rung]) -> dict[tuple[float, ...], list[Rung]]:
    """The runs of each setting, smallest first."""
    groups: dict[tuple[float, ...], list[Rung]] = {}
    for run in sorted(rungs, key=lambda each: each.x):
        groups.setdefault(run.x, []).append(run)
    return groups


def _forecasts(study: Study, metric: str, accuracy: str | None) -> list[str]:
    columns = ["predicted", "95 % interval", "measured", "error", "noise"]
    header = [*study.variables, *columns, "error without a law"]
    lines = [f"**{metric}**", "", *_header(header, 0)]
    for each in study.forecasts:
        nearest = "–" if each.nearest_error is None else f"{each.nearest_error:+.2%}"
        lines.append(_row([*map(short, each.x), *_measure(each.loss), nearest]))
    if study.fit.sigmoid is not None:
        lines += ["", f"**{accuracy}**", "", *_header([*study.variables, *columns], 0)]
        for each in study.forecasts:
            assert each.accuracy is not None
            lines.append(_row([*map(short, each.x), *_measure(each.accuracy)]))
    lines += ["", _reading(study)]
    return lines


def _reading(study: Study) -> str:
    text = (
        "The interval is the law's alone (bootstrap over the fitted runs), without the noise of a "
        "run."
    )
    measured = [f for f in study.forecasts if f.loss.mean is not None]
    if not measured:
        return text
    text += (
        " No fit has seen the measured runs. *Error* is (predicted − measured) / measured, *noise* "
        "the standard deviation between the measured runs as a share of their mean; *without a "
        "law*, the prediction is the loss of the nearest runs of the largest fitted size."
    )
    pooled = noise([*_losses(study.rungs), *(f.loss.measured for f in measured)])
    if pooled is None:
        return f"{text} No setting has two runs, so the law's error cannot be told from noise."
    errors = [abs(f.loss.error) for f in measured if f.loss.error is not None]
    within = sum(error <= 2 * pooled for error in errors)
    return (
        f"{text} Pooled over all settings the noise is {pooled:.2%}; {within} of {len(errors)} "
        "errors are within twice that, which noise alone may make."
    )


def _losses(rungs: Sequence[Rung]) -> list[list[float]]:
    return [[run.loss for run in runs] for runs in by_setting(rungs).values()]


def _measure(measure: Measure) -> list[str]:
    interval, measured = "–", "–"
    if measure.interval is not None:
        interval = "{:.4f} … {:.4f}".format(*measure.interval)
    if measure.mean is not None:
        measured = f"{measure.mean:.4f} (n = {len(measure.measured)})"
    error = "–" if measure.error is None else f"{measure.error:+.2%}"
    spread = "–" if measure.noise is None else f"{measure.noise:.2%}"
    return [f"{measure.predicted:.4f}", interval, measured, error, spread]


def _law(study: Study, metric: str) -> list[str]:
    law = study.fit.law
    lines = [
        f"{formula(study)}, where L is {metric}; fitted to {len(study.rungs)} runs of "
        f"{len({run.x for run in study.rungs})} settings.",
        "",
        *_header(["", "value", "95 % interval"], 1),
    ]
    samples = [parameters(each.law) for each in study.samples]
    for name, value in parameters(law).items():
        lines.append(_parameter(name, value, [each[name] for each in samples]))
    return lines


def _trust(study: Study) -> list[str]:
    errors = fit_errors(study)
    text = [f"Mean error of the fitted runs {statistics.fmean(errors):.2%}"]
    spread = noise(_losses(study.rungs))
    text.append(f"; noise between seeds {spread:.2%}." if spread is not None else ".")
    if plain(study.fit.law.floor) == 0:
        text.append(" E is at its bound, 0: these runs are too far from a floor to show one.")
    first = study.variables[0]
    if study.refused is not None:
        reason = study.refused.removeprefix("scaling: ")
        text.append(f" Without the largest {first} the runs determine no law: {reason}.")
    elif study.left_out:
        missed = [f.loss.error for f in study.left_out if f.loss.error is not None]
        nearest = [f.nearest_error for f in study.left_out if f.nearest_error is not None]
        text.append(
            f" A law fitted without {first} = {short(study.left_out[0].x[0])} predicts those runs "
            f"with a mean error of {statistics.fmean(map(abs, missed)):.2%}; without a law it is "
            f"{statistics.fmean(map(abs, nearest)):.2%}."
        )
    return ["".join(text)]


def _sigmoid(study: Study, accuracy: str) -> list[str]:
    found = study.fit.sigmoid
    assert found is not None
    samples = [each.sigmoid for each in study.samples if each.sigmoid is not None]
    return [
        f"{accuracy} = a / (1 + exp(−k (L − x₀))) + b",
        "",
        *_header(["", "value", "95 % interval"], 1),
        _parameter("a", found.height, [each.height for each in samples]),
        _parameter("k", found.slope, [each.slope for each in samples]),
        _parameter("x₀", found.middle, [each.middle for each in samples]),
        _parameter("b", found.floor, [each.floor for each in samples]),
    ]


def _parameter(name: str, value: float, samples: Sequence[float]) -> str:
    interval = "–"
    if samples:
        low, high = np.quantile(samples, [0.025, 0.975])
        interval = f"{plain(low):.4g} … {plain(high):.4g}"
    return _row([name, f"{plain(value):.4g}", interval])


def plain(value: float) -> float:
    """A value at its bound is 0."""
    return 0.0 if abs(value) < _ZERO else value


def _runs(study: Study, metric: str, accuracy: str | None) -> list[str]:
    columns = [*study.variables, "n", metric, "the law"]
    if study.fit.sigmoid is not None:
        columns.append(accuracy or "accuracy")
    lines = _header(columns, 0)
    for x, runs in by_setting(study.rungs).items():
        losses = [run.loss for run in runs]
        shown = f"{statistics.fmean(losses):.4f}"
        if len(losses) > 1:
            shown += f" ± {statistics.stdev(losses):.4f}"
        law = f"{float(study.fit.law.predict(np.array([x]))[0]):.4f}"
        row = [*map(short, x), str(len(runs)), shown, law]
        if study.fit.sigmoid is not None:
            row.append(f"{statistics.fmean(r.accuracy or 0.0 for r in runs):.4f}")
        lines.append(_row(row))
    return lines


def _header(columns: Sequence[str], left: int) -> list[str]:
    align = ["---"] * left + ["---:"] * (len(columns) - left)
    return [_row(columns), f"|{'|'.join(align)}|"]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
