"""A report as files: ``report.md``, ``runs.csv`` and a plot for each curve."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from olmoflow.report.differences import Difference, differences, find_baseline
from olmoflow.report.plot import draw
from olmoflow.report.rows import SEEDS, Cell, Report, Row

REPORT, RUNS = "report.md", "runs.csv"


def write_report(
    report: Report,
    folder: Path,
    plots: Sequence[str],
    *,
    baseline: str | None = None,
    about: Sequence[str] = (),
) -> list[Path]:
    """Write the report's folder, which needs nothing outside itself.

    Args:
        report: What to say.
        folder: Where; exists.
        plots: Columns of the runs' metrics.csv to draw.
        baseline: A pattern of a setting of the row that the others are compared with.
        about: Sections that come first, in Markdown.

    Returns:
        The plots that were drawn: those that any run has the column of.

    Raises:
        UserError: The baseline is no row.
    """
    compared = _compared(report, baseline) if baseline is not None else []
    drawn = []
    for column in plots:
        path = folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', column).strip('-').lower()}.png"
        if draw(report, column, path):
            drawn.append(path)
    _write_runs(report, folder / RUNS)
    (folder / REPORT).write_text(markdown(report, drawn, [*about, *compared]))
    return drawn


def markdown(report: Report, plots: Sequence[Path] = (), sections: Sequence[str] = ()) -> str:
    """The report as Markdown: sections of others, then its own."""
    lines = [f"# {report.title}", "", *sections]
    if sections and report.rows:
        lines += ["## All rows", ""]
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


def _compared(report: Report, pattern: str) -> list[str]:
    """A section a row: what it differs by from the baseline."""
    base = find_baseline(report, pattern)
    sections = []
    for row, found in differences(report, base):
        if not found:
            continue  # no runs of the same seeds
        lines = [
            f"## {row.label} against {base.label}",
            "",
            "| metric | baseline | this | difference | 95 % interval | below in | verdict |",
            "|---|---:|---:|---:|---:|---:|---|",
        ]
        for name, each in found.items():
            cells = (shown(base.cells.get(name)), shown(row.cells.get(name)))
            lines.append(f"| {' | '.join([_cell(name), *cells, *_difference(each)])} |")
        lines += [
            "",
            "The difference is over pairs of runs of the same seeds: mean ± standard deviation, "
            "and Student's interval of the mean.",
            "",
        ]
        sections.append("\n".join(lines))
    return sections


def _difference(found: Difference) -> list[str]:
    """The last four cells of a comparison."""
    interval = "–"
    if found.half_width is not None:
        low, high = found.mean - found.half_width, found.mean + found.half_width
        interval = f"{low:+.4f} … {high:+.4f}"
    spread = "" if found.std is None else f" ± {found.std:.4f}"
    counted = f"{found.lower} of {found.n}"
    return [f"{found.mean:+.4f}{spread}", interval, counted, found.verdict]


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
