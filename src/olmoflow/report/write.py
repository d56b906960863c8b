"""A report as files: ``report.md``, ``runs.csv`` and a plot for each curve."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from olmoflow.report.plot import draw
from olmoflow.report.rows import SEEDS, Cell, Report, Row

REPORT, RUNS = "report.md", "runs.csv"


def write_report(report: Report, folder: Path, plots: Sequence[str]) -> list[Path]:
    """Write the report's folder, which needs nothing outside itself.

    Args:
        report: What to say.
        folder: Where; exists.
        plots: Columns of the runs' metrics.csv to draw.

    Returns:
        The plots that were drawn: those that any run has the column of.
    """
    drawn = []
    for column in plots:
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', column).strip('-').lower()}.png"
        if draw(report, column, path):
            drawn.append(path)
    _write_runs(report, folder / RUNS)
    (folder / REPORT).write_text(markdown(report, drawn))
    return drawn


def markdown(report: Report, plots: Sequence[Path] = ()) -> str:
    """The report as Markdown."""
    lines = [f"# {report.title}", ""]
    if report.rows:
        lines += [*_table(report), ""]
        if any(cell.std is not None for row in report.rows for cell in row.cells.values()):
            lines += ["Mean ± sample standard deviation over n runs of different seeds.", ""]
    for path in plots:
        lines += [f"![{path.stem}]({path.name})", ""]
    if report.failures:
        lines += ["## Failed", "", "| job | error |", "|---|---|"]
        lines += [f"| `{_cell(f.job)}` | {_cell(f.error)} |" for f in report.failures]
        lines.append("")
    if report.rows:
        lines += ["## Runs", ""]
        lines += [f"- {row.label}: {', '.join(r.name for r in row.runs)}" for row in report.rows]
        lines.append("")
    return "\n".join(lines)


def shown(cell: Cell | None) -> str:
    """A metric as the table shows it: to the digits that its spread leaves, or to four."""
    if cell is None:
        return "–"
    if cell.std is None:
        return f"{cell.mean:.4g}"
    digits = 4
    if cell.std > 0:
        first = int(f"{cell.std:e}".partition("e")[2])
        digits = min(10, max(0, 1 - first))
    return f"{cell.mean:.{digits}f} ± {cell.std:.{digits}f}"


def _table(report: Report) -> list[str]:
    header = [*report.columns, "n", *report.metrics]
    align = ["---" for _ in report.columns] + ["---:" for _ in (*report.metrics, "n")]
    lines = [f"| {' | '.join(_cell(h) for h in header)} |", f"|{'|'.join(align)}|"]
    for row in report.rows:
        lines.append(f"| {' | '.join(_cell(c) for c in _columns(report, row))} |")
    return lines


def _columns(report: Report, row: Row) -> list[str]:
    return [
        *row.setting.values(),
        str(len(row.runs)),
        *(shown(row.cells.get(name)) for name in report.metrics),
    ]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _write_runs(report: Report, path: Path) -> None:
    """Every run by itself, for whoever wants to reckon anew."""
    metrics = sorted({name for row in report.rows for run in row.runs for name in run.metrics})
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["run", *report.columns, *SEEDS, *metrics])
        for row in report.rows:
            for run in row.runs:
                seeds = [run.config.get(seed, "") for seed in SEEDS]
                values = [run.metrics.get(name, "") for name in metrics]
                writer.writerow([run.name, *row.setting.values(), *seeds, *values])
