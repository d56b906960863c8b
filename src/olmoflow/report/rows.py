"""Runs gathered into rows: one a setting, its metrics as mean and standard deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from olmoflow.errors import UserError
from olmoflow.report.runs import Failure, Run, inherited

SEEDS = ("init_seed", "data_seed")
# What is shown unless asked otherwise; a run has one of them.
LOSSES = ("train/CE loss", "train/preference loss")
# Figures that are no result, which `metrics=` may still ask for.
_COUNTS = ("steps", "step", "tokens", "parameters")


@dataclass(frozen=True)
class Cell:
    """A metric over the runs of a row.

    Attributes:
        mean: Over the runs that have it.
        std: Sample standard deviation (n - 1); None for a single run.
        n: Runs that have it.
    """

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """The runs of one setting.

    Attributes:
        setting: The value of every column that varies.
        runs: Those that differ in nothing but seeds.
        cells: The metrics that its runs have.
    """

    setting: Mapping[str, str]
    runs: Sequence[Run]
    cells: Mapping[str, Cell]

    @property
    def label(self) -> str:
        """Its name in a legend."""
        return ", ".join(f"{key}={value}" for key, value in self.setting.items())


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        title: Its heading.
        columns: The settings that vary.
        metrics: What is tabulated.
        rows: One a setting, sorted by it.
        failures: The jobs that left nothing.
    """

    title: str
    columns: Sequence[str]
    metrics: Sequence[str]
    rows: Sequence[Row]
    failures: Sequence[Failure]


def gather(
    runs: Sequence[Run],
    failures: Sequence[Failure] = (),
    *,
    title: str,
    metrics: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> Report:
    """Gather runs into rows.

    Args:
        runs: What finished.
        failures: Listed below the table.
        title: The heading.
        metrics: What to tabulate; None: the training loss and every suite's score.
        columns: The settings that make a row; None: all in which the runs differ, seeds apart.

    Raises:
        UserError: No run has one of the metrics or of the columns.
    """
    shown = _metrics(runs, metrics)
    settings = _settings(runs) if columns is None else _chosen(runs, columns)
    if settings and not settings[0]:
        settings = [{"runs": "all"} for _ in runs]
    names = list(settings[0]) if settings else []
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run, setting in zip(runs, settings, strict=True):
        groups.setdefault(tuple(setting.values()), []).append(run)
    rows = [
        Row(dict(zip(names, values, strict=True)), group, _cells(group, shown))
        for values, group in sorted(groups.items(), key=lambda item: [_order(v) for v in item[0]])
    ]
    return Report(title, names, shown, rows, failures)


def number(value: str) -> float | None:
    """A setting as a number, if it is one."""
    try:
        return float(value)
    except ValueError:
        return None


def _settings(runs: Sequence[Run]) -> list[dict[str, str]]:
    """What each run was set to, in the columns in which the runs differ, seeds apart.

    What was overridden names the columns. Where that does not tell two runs of the same seeds
    apart, or was not kept, the whole configs do.
    """
    if len(runs) < 2:
        return [{"run": run.name} for run in runs]
    if all(run.overrides is not None for run in runs):
        keys = list(dict.fromkeys(key for run in runs for key in run.overrides or ()))
        settings = _varying([{key: _value(run, key) for key in keys} for run in runs])
        marks = [
            (*setting.values(), *(str(run.config.get(seed)) for seed in SEEDS))
            for run, setting in zip(runs, settings, strict=True)
        ]
        if len(set(marks)) == len(runs):
            return settings
    keys = list(dict.fromkeys(key for run in runs for key in run.config))
    return _varying([{key: str(run.config.get(key, "–")) for key in keys} for run in runs])


def _chosen(runs: Sequence[Run], columns: Sequence[str]) -> list[dict[str, str]]:
    """What each run was set to in these columns; a group's choice is the name in its node.

    Of a setting that no run has, what it was made from may have it: a mixture its size.
    """
    settings = [
        {key: str(run.config.get(key, run.config.get(f"{key}.name", "–"))) for key in columns}
        for run in runs
    ]
    for key in columns:
        if runs and all(setting[key] == "–" for setting in settings):
            values = [inherited(run, key) for run in runs]
            if all(value is None for value in values):
                raise UserError(
                    f"columns={key}: neither the runs nor what they were made from has this setting"
                )
            for setting, value in zip(settings, values, strict=True):
                setting[key] = "–" if value is None else str(value)
    return settings


def _varying(settings: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    varying = [
        key
        for key in settings[0]
        if key not in SEEDS and len({setting[key] for setting in settings}) > 1
    ]
    return [{key: setting[key] for key in varying} for setting in settings]


def _value(run: Run, key: str) -> str:
    """What a run overrides, or the value that it has without."""
    assert run.overrides is not None
    if key in run.overrides:
        value = run.overrides[key]
        known = run.config.get(key)
        # 8e-3 and 0.008 are one setting.
        return str(known) if isinstance(known, int | float) else value
    return str(run.config.get(key, "–"))


def _metrics(runs: Sequence[Run], wanted: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if not runs:
        return list(wanted or ())
    if wanted is None:
        rest = (n for n in known if "/" not in n and n not in _COUNTS)
        return [*(loss for loss in LOSSES if loss in known), *rest]
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"they have {', '.join(known)}"
            raise UserError(f"metrics={name}: none of the runs has this metric; {hint}")
    return list(wanted)


def _cells(runs: Sequence[Run], metrics: Sequence[str]) -> dict[str, Cell]:
    cells = {}
    for name in metrics:
        values = [run.metrics[name] for run in runs if name in run.metrics]
        if values:
            std = statistics.stdev(values) if len(values) > 1 else None
            cells[name] = Cell(statistics.fmean(values), std, len(values))
    return cells


def _order(value: str) -> tuple[bool, Any]:
    as_number = number(value)
    return (True, value) if as_number is None else (False, as_number)
