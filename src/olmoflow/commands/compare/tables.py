"""A comparison for people: tables in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from olmoflow.commands.command_line.tables import print_table
from olmoflow.commands.evaluate.tables import print_reasons


def print_pair(result: Mapping[str, Any]) -> None:
    """Every task of two evaluations, and the parts of their suite."""
    for side in ("a", "b"):
        about = result[side]
        checkpoint = f" of {about['checkpoint']}" if "checkpoint" in about else ""
        print(f"{side}: {about['evaluation']}{checkpoint}")
    table = _table("a", "b", "b - a", "95 %", "p", "p (Holm)", "MDE80", "n")
    table.add_column("b is")
    for task, row in result["tasks"].items():
        if "error" in row:
            table.add_row(task, *["–"] * 8, row["verdict"])
            continue
        table.add_row(f"{task} ({row['metric']})", *_cells(row), row["verdict"])
    if parts := list(_walk(result.get("parts") or {}, 0)):
        table.add_section()
        for depth, name, part in parts:
            if part["difference"] is None:
                table.add_row("  " * depth + name, *["–"] * 8, part.get("reason", ""))
            else:
                unknown = part.get("low") is None and part.get("reason")
                table.add_row("  " * depth + name, *_cells(part), unknown or part["verdict"])
    print_table(table)
    print_reasons({task: row["error"] for task, row in result["tasks"].items() if "error" in row})
    Console().print(
        "95 % interval of the paired difference by its standard error; p: McNemar's exact test of "
        "accuracies, else normal, Holm's correction for the number of tasks; MDE80: the smallest "
        "true difference that so many questions show in four of five cases",
        style="dim",
        highlight=False,
    )
    for side in ("a", "b"):
        if only := result[f"only_{side}"]:
            print(f"only in {side}: {', '.join(only)}")
    left_out = [f"{t} {r['left_out']:,}" for t, r in result["tasks"].items() if r["left_out"]]
    if left_out:
        print(f"left out, questions that only one has a score of: {', '.join(left_out)}")


def print_noise(result: Mapping[str, Any]) -> None:
    """Each metric's signal and noise over the runs."""
    beyond = bool(result["target"])
    table = _table("signal", "noise", "signal / noise", *(["same decision"] if beyond else []))
    ordered = sorted(result["metrics"].items(), key=lambda item: -(item[1]["ratio"] or 0))
    for metric, row in ordered:
        cells = [_share(row["signal"]), _share(row["noise"]), _number(row["ratio"], 1)]
        if beyond:
            cells.append(_share(row.get("decision_accuracy")))
        table.add_row(metric, *cells)
    print_table(table)
    fewest = min(n for row in result["metrics"].values() for n in row["checkpoints"].values())
    if fewest < result["last"]:
        print(f"some run has only {fewest} of the last {result['last']} checkpoints")
    if unequal := result.get("unequal_questions"):
        print(f"not every score is of as many questions, which is noise too: {', '.join(unequal)}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    low, high = row.get("low"), row.get("high")
    return [
        _number(row["a"]),
        _number(row["b"]),
        f"{row['difference']:+.3f}",
        "–" if low is None or high is None else f"{low:+.3f} … {high:+.3f}",
        _probability(row.get("p_value")),
        _probability(row.get("p_holm")),
        _number(row.get("mde80")),
        f"{row['n']:,}",
    ]


def _walk(parts: Mapping[str, Any], depth: int) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """The parts that are made of others; tasks stand above."""
    for name, part in parts.items():
        if "task" not in part:
            yield depth, name, part
            yield from _walk(part.get("children") or {}, depth + 1)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def _probability(value: float | None) -> str:
    if value is None:
        return "–"
    return "<0.001" if value < 1e-3 else f"{value:.3f}"
