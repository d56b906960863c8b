"""``olmoflow extrapolate``: a ladder of runs into scaling laws, and predictions by them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Artifact, Claim, Input, claim, resolve
from olmoflow.commands.config.build import build
from olmoflow.commands.extrapolate.rungs import (
    Wanted,
    check_variables,
    rungs_in,
    rungs_of,
    targets_of,
    where_of,
)
from olmoflow.commands.report import copy_report, find_runs
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.evaluate.scaling import Rung, Settings, Study
    from olmoflow.evaluate.scaling.study import Forecast, Measure

REPORT, RUNS = "report.md", "runs.csv"
# What a metric is called on a plot.
_LABELS = {
    "bits_per_byte": "held-out bits per byte",
    "bits_per_byte/macro": "held-out bits per byte, mean of the kinds of text",
    "train/CE loss": "training loss (nats per token)",
}


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Extrapolate; see ``conf/extrapolate.yaml`` for the settings."""
    from olmoflow.evaluate.scaling import study_ladder

    if find_spec("scipy") is None:
        raise UserError("extrapolate: needs scipy; pip install 'olmoflow[evaluate]'")
    variables = check_variables(config["variables"])
    settings: Settings = build(config["fit"], "fit")
    targets = targets_of(config["predict"], variables)
    wanted = Wanted(variables, config["metric"], config["accuracy"], where_of(config["where"]))
    title, rungs, inputs = _ladder(config, wanted)
    held_out, held_inputs = _held_out(config, replace(wanted, where={}))
    if both := {r.name for r in rungs} & {r.name for r in held_out}:
        raise UserError(f"held_out={sorted(both)[0]}: is one of the fitted runs as well")
    title = config["title"] or title
    fixed = {**config, "runs": None, "group": None, "table": None, "held_out": None}
    fixed |= {"title": title}
    del fixed["target"]
    with claim(
        "report",
        command="extrapolate",
        config=fixed,
        inputs=[*inputs, *held_inputs],
        name=config["name"],
    ) as work:
        if work.finished is None:
            study = study_ladder(
                rungs, variables, targets=targets, held_out=held_out, settings=settings
            )
            plots = _write(study, held_out, title, config, work)
            work.finish({"title": title, **figures(study), "plots": plots})
    assert work.finished is not None
    if config["target"] is not None:
        copy_report(work.path, Path(config["target"]))
    return {
        "report": work.finished.name,
        "path": str(work.path),
        "file": str(work.path / REPORT),
        **work.finished.figures,
    }


def report(result: Mapping[str, Any]) -> None:
    """The law and its predictions."""
    from rich.table import Table

    from olmoflow.commands.command_line.tables import print_table
    from olmoflow.evaluate.scaling.page import plain
    from olmoflow.evaluate.scaling.plot import short

    law = result["law"]
    print(
        f"{law['formula']}: " + ", ".join(f"{k} {plain(v):.4g}" for k, v in law["values"].items())
    )
    left = result["left_out_error"]
    shown = "" if left is None else f", of the largest size by a law without it {left:.2%}"
    print(f"mean error of the {result['runs']} fitted runs {result['fit_error']:.2%}{shown}")
    table = Table(box=None, header_style="bold")
    variables = result["variables"]
    for name in ("", *variables, "predicted", "95 % interval", "measured", "error", "noise"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in result["predictions"]:
        for what in ("loss", "accuracy"):
            if (found := each[what]) is not None:
                table.add_row(what, *(short(each[v]) for v in variables), *_cells(found))
    if result["predictions"]:
        print_table(table)
    print(f"report {result['report']}: {result['file']}")


def figures(study: Study) -> dict[str, Any]:
    """The headline figures of a study, as plain values."""
    import statistics

    from olmoflow.evaluate.scaling.page import fit_errors, formula, parameters

    left = [abs(f.loss.error) for f in study.left_out if f.loss.error is not None]
    return {
        "variables": list(study.variables),
        "runs": len(study.rungs),
        "law": {"formula": formula(study), "values": parameters(study.fit.law)},
        "sigmoid": None if study.fit.sigmoid is None else vars(study.fit.sigmoid),
        "fit_error": statistics.fmean(fit_errors(study)),
        "left_out_error": statistics.fmean(left) if left else None,
        "predictions": [_prediction(study, each) for each in study.forecasts],
    }


def _ladder(config: Mapping[str, Any], wanted: Wanted) -> tuple[str, list[Rung], list[Input]]:
    """A title, the rungs and what they were read from."""
    if config["table"] is not None:
        if config["group"] is not None or config["runs"] is not None:
            raise UserError("table: give one of group=, runs= and table=")
        if not Path(str(config["table"])).expanduser().is_file():
            raise UserError(f"table={config['table']}: no such file; expected a CSV file")
        table = resolve(str(config["table"]), "table", [])
        return table.path.stem, rungs_in(table.path, wanted), [table]
    name, found, failures = find_runs(config["group"], config["runs"])
    if failures:
        raise UserError(
            f"group={config['group']}: {failures[0].job} failed ({failures[0].error}); expected a "
            "group without failures, or runs=[NAME,…]"
        )
    rungs, inputs = _read(found, wanted, "runs")
    return name, rungs, inputs


def _held_out(config: Mapping[str, Any], wanted: Wanted) -> tuple[list[Rung], list[Input]]:
    if config["held_out"] is None:
        return [], []
    _, found, _ = find_runs(None, config["held_out"], "held_out")
    return _read(found, wanted, "held_out")


def _read(found: Sequence[Artifact], wanted: Wanted, role: str) -> tuple[list[Rung], list[Input]]:
    from olmoflow.report import collect_runs

    runs = collect_runs(found)
    inputs = {i.key: i for each in runs for i in each.inputs}
    numbered = [
        Input(f"{role}[{n}]", i.kind, i.name, i.key, i.path) for n, i in enumerate(inputs.values())
    ]
    return rungs_of(runs, wanted), numbered


def _write(
    study: Study, held_out: Sequence[Rung], title: str, config: Mapping[str, Any], work: Claim
) -> list[str]:
    """Write the report's files; returns the names of the plots."""
    from olmoflow.evaluate.scaling.page import page
    from olmoflow.evaluate.scaling.plot import draw_study

    label, accuracy = _LABELS.get(config["metric"], config["metric"]), config["accuracy"]
    plots = draw_study(study, label, accuracy, work.path)
    (work.path / REPORT).write_text(page(study, title, label, accuracy, plots))
    with (work.path / RUNS).open("w", newline="") as file:
        writer = csv.writer(file)
        scores = [config["metric"], *([accuracy] if accuracy else [])]
        writer.writerow(["run", "held_out", *study.variables, *scores])
        for rungs, held in ((study.rungs, "no"), (held_out, "yes")):
            for each in rungs:
                values = [each.loss, *([each.accuracy] if accuracy else [])]
                writer.writerow([each.name, held, *(f"{v:.0f}" for v in each.x), *values])
    return [path.name for path in plots]


def _prediction(study: Study, forecast: Forecast) -> dict[str, Any]:
    return {
        **dict(zip(study.variables, forecast.x, strict=True)),
        "loss": _measured(forecast.loss),
        "accuracy": None if forecast.accuracy is None else _measured(forecast.accuracy),
        "without_a_law": forecast.nearest,
    }


def _measured(measure: Measure) -> dict[str, Any]:
    return {
        "predicted": measure.predicted,
        "interval": None if measure.interval is None else list(measure.interval),
        "measured": measure.mean,
        "n": len(measure.measured),
        "error": measure.error,
        "noise": measure.noise,
    }


def _cells(found: Mapping[str, Any]) -> list[str]:
    interval = found["interval"]
    return [
        f"{found['predicted']:.4f}",
        "–" if interval is None else f"{interval[0]:.4f} … {interval[1]:.4f}",
        "–" if found["measured"] is None else f"{found['measured']:.4f} (n = {found['n']})",
        "–" if found["error"] is None else f"{found['error']:+.2%}",
        "–" if found["noise"] is None else f"{found['noise']:.2%}",
    ]
