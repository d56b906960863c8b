"""``olmoflow report``: runs into a table with mean ± std over seeds, and plots."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Artifact, Input, artifacts, claim, find
from olmoflow.commands.command_line.groups import read_group
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.report import Failure

_KINDS = ("checkpoint", "evaluation")
# A page that an artifact brings to a report, with its plots beside it.
PAGE = "page.md"


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Report; see ``conf/report.yaml`` for the settings."""
    from olmoflow.report import collect_runs, gather
    from olmoflow.report.write import REPORT, write_report

    name, found, failures = find_runs(config["group"], config["runs"])
    runs = collect_runs(found)
    title = config["title"] or name
    made = gather(runs, failures, title=title, metrics=config["metrics"], columns=config["columns"])
    inputs = {i.key: i for run in runs for i in run.inputs}
    numbered = [
        Input(f"runs[{n}]", i.kind, i.name, i.key, i.path) for n, i in enumerate(inputs.values())
    ]
    failed = [asdict(failure) for failure in failures]
    about = [
        find(str(reference), f"about[{n}]") for n, reference in enumerate(config["about"] or [])
    ]
    for n, a in enumerate(about):
        if not (a.path / PAGE).is_file():
            raise UserError(f"about={a.name}: this {a.kind} has no page of its own")
        numbered.append(Input(f"about[{n}]", a.kind, a.name, a.key, a.path))
    target = config["target"]
    fixed = {**config, "runs": None, "title": title, "failed": failed, "about": None}
    del fixed["target"]
    if fixed["columns"] is None:
        del fixed["columns"]
    with claim(
        "report", command="report", config=fixed, inputs=numbered, name=config["name"]
    ) as work:
        if work.finished is None:
            for a in about:
                _copy_plots(a.path, work.path)
            plots = write_report(
                made,
                work.path,
                config["plots"] or [],
                baseline=config["baseline"],
                about=[(a.path / PAGE).read_text() for a in about],
            )
            work.finish(
                {
                    "title": title,
                    "runs": len(runs),
                    "columns": list(made.columns),
                    "rows": [
                        {
                            "setting": dict(row.setting),
                            "runs": [each.name for each in row.runs],
                            "metrics": {k: asdict(c) for k, c in row.cells.items()},
                        }
                        for row in made.rows
                    ],
                    "failed": failed,
                    "plots": [path.name for path in plots],
                }
            )
    assert work.finished is not None
    if target is not None:
        copy_report(work.path, Path(target))
    return {
        "report": work.finished.name,
        "path": str(work.path),
        "file": str(work.path / REPORT),
        **work.finished.figures,
    }


def report(result: Mapping[str, Any]) -> None:
    """The table, and where the rest is."""
    from rich.table import Table

    from olmoflow.commands.command_line.tables import print_table
    from olmoflow.report.rows import Cell
    from olmoflow.report.write import shown

    metrics = list(dict.fromkeys(name for row in result["rows"] for name in row["metrics"]))
    print(result["title"])
    table = Table(box=None, header_style="bold")
    for column in result["columns"]:
        table.add_column(column)
    for column in ("n", *metrics):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        cells = [row["metrics"].get(name) for name in metrics]
        table.add_row(
            *row["setting"].values(),
            str(len(row["runs"])),
            *(shown(Cell(**cell) if cell else None) for cell in cells),
        )
    if result["rows"]:
        print_table(table)
    for failure in result["failed"]:
        print(f"failed: {failure['job']}: {failure['error']}")
    print(f"report {result['report']}: {result['file']}")


def _copy_plots(source: Path, folder: Path) -> None:
    for plot in sorted(source.glob("*.png")):
        shutil.copyfile(plot, folder / plot.name)


def copy_report(report: Path, target: Path) -> None:
    """The report as a folder's README, with its plots and the runs.

    Raises:
        UserError: It cannot be written.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(report / "report.md", target / "README.md")
        shutil.copyfile(report / "runs.csv", target / "runs.csv")
        _copy_plots(report, target)
    except OSError as error:
        raise UserError(f"target={target}: {error.strerror}; expected a folder") from error


def find_runs(
    group: Any, runs: Any, role: str = "runs"
) -> tuple[str, list[Artifact], list[Failure]]:
    """What to report on: a title, the artifacts and the jobs that failed.

    Args:
        group: The name of a group, or None.
        runs: References of runs, or None.
        role: The config key that ``runs`` came from, for messages.

    Raises:
        UserError: Nothing or both are named, or nothing answers to a name.
    """
    if (group is None) == (runs is None):
        raise UserError("group: give either group=NAME (or latest) or runs=[NAME,…]")
    if runs is not None:
        references = runs if isinstance(runs, list) else [runs]
        found = [a for reference in references for a in _matching(str(reference), role)]
        if not found:
            raise UserError(f"{role}={runs}: expected names, keys or patterns of finished runs")
        return "Runs", found, []
    return _of_group(str(group))


def _of_group(name: str) -> tuple[str, list[Artifact], list[Failure]]:
    from olmoflow.report import Failure

    name, jobs = read_group(name)
    known = {(a.kind, a.key): a for kind in _KINDS for a in artifacts(kind)}
    found, failures = [], []
    for job in jobs:
        settings = (o for o in job["overrides"] if not o.startswith(("output=", "group=")))
        what = " ".join([job["command"], *settings])
        made = job["artifact"]
        if job["status"] != "finished":
            failures.append(Failure(what, job["error"]))
        elif made is not None and made["kind"] in _KINDS:
            artifact = known.get((made["kind"], made["key"]))
            if artifact is None:
                failures.append(Failure(what, f"its {made['kind']} {made['name']} is gone"))
            else:
                found.append(artifact)
    if not found and not failures:
        raise UserError(f"group={name}: no job of it made a {' or an '.join(_KINDS)}")
    return name, found, failures


def _matching(reference: str, role: str) -> Sequence[Artifact]:
    """The finished runs of a name, a key or a pattern.

    Raises:
        UserError: There are none.
    """
    if any(c in reference for c in "*?["):
        matches = [a for kind in _KINDS for a in artifacts(kind) if fnmatchcase(a.name, reference)]
        if not matches:
            raise UserError(
                f"{role}={reference}: no finished checkpoint or evaluation has such a name"
            )
        return matches
    found = find(reference, role)
    if found.kind not in _KINDS:
        raise UserError(
            f"{role}={reference}: is a {found.kind}; expected a checkpoint or an evaluation"
        )
    return [found]
