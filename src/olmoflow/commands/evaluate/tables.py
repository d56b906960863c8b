"""An evaluation for people: a table of the suite's parts and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def print_tasks(result: Mapping[str, Any]) -> None:
    """The tree of a suite, each part above what it is made of."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, justify in (("", "left"), ("score", "right"), ("±", "right"), ("n", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("metric", no_wrap=True)
    table.add_column("")
    metrics = {task: row["metric"] for task, row in result["tasks"].items()}
    top = {**result, "children": result["parts"], "aggregate": "none"}
    for depth, name, node in _walk(result["suite"], top, 0):
        style = "bold" if "aggregate" in node else None
        table.add_row(
            "  " * depth + name,
            _number(node["score"]),
            _number(node["stderr"]),
            f"{node['n']:,}",
            metrics.get(node.get("task"), _way(node)),
            _remark(node),
            style=style,
        )
    print_table(table)
    console = Console()
    print_reasons({task: row["error"] for task, row in result["tasks"].items() if "error" in row})
    for task, row in result["tasks"].items():
        if row["score"] is not None and (notes := _notes(row)):  # else the table says why
            console.print(f"{task}: {notes}", highlight=False, markup=False, soft_wrap=True)
    print(f"evaluation {result['evaluation']}: {result['path']}")


def print_table(table: Table) -> None:
    """Print a table as wide as it is: where that is too wide, lines break and no cell is cut."""
    console = Console()
    wide = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, wide)).print(table)


def print_reasons(reasons: Mapping[str, str]) -> None:
    """Why tasks have no score, once for all that have the same reason."""
    by_reason: dict[str, list[str]] = {}
    for task, reason in reasons.items():
        by_reason.setdefault(reason, []).append(task)
    for reason, tasks in by_reason.items():
        names = ", ".join(tasks[:3]) + (f" and {len(tasks) - 3} more" if len(tasks) > 3 else "")
        text = f"no score of {names}: {reason}"
        Console().print(text, highlight=False, markup=False, soft_wrap=True)


def print_heldout(result: Mapping[str, Any]) -> None:
    """Held-out bits per byte beside gzip and a unigram model."""
    table = Table(box=None, header_style="bold")
    table.add_column("held-out text")
    table.add_column("bits per byte", justify="right")
    table.add_column("documents", justify="right")
    for name, task in result["tasks"].items():
        stderr = "" if task["stderr"] is None else f" ± {task['stderr']:.3f}"
        table.add_row(f"this model, {name}", f"{task['score']:.3f}{stderr}", f"{task['n']:,}")
    for name, value in result["baselines"].items():
        table.add_row(name, f"{value:.3f}", "")
    print_table(table)


def _walk(
    name: str, node: Mapping[str, Any], depth: int
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    yield depth, name, node
    for child, part in (node.get("children") or {}).items():
        yield from _walk(child, part, depth + 1)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _way(node: Mapping[str, Any]) -> str:
    """How a part's score came about."""
    aggregate = node.get("aggregate")
    if aggregate in (None, "none"):
        return ""
    return {"macro": "mean", "micro": "mean over questions", "best_format": "best of"}[aggregate]


def _remark(node: Mapping[str, Any]) -> str:
    """How many parts lack a score, or which format was taken; why, stands below the table."""
    if node.get("reason"):
        return "no score" if "task" in node else str(node["reason"]).partition(":")[0]
    return str(node.get("chosen") or "")


def _notes(row: Mapping[str, Any]) -> str:
    """What a reader has to know of a score: whatever else happened than scoring."""
    words = {
        "no_answer": "without an answer",
        "timeout": "timed out",
        "error": "failed to be verified",
        "too_long": "do not fit the model and have no part in the score",
        "no_number": "are NaN to the model and have no part in the score",
        "truncated": "lost the beginning of their context",
        "unfinished": "reached the limit of tokens",
    }
    counts = row["outcomes"]
    return ", ".join(f"{counts[key]:,} {text}" for key, text in words.items() if counts.get(key))
