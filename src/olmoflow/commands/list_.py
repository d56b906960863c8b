"""``olmoflow list [kind=KIND] [output=json]``: the finished artifacts, oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olmoflow.artifact import KINDS, artifacts, home
from olmoflow.commands.command_line.plain import parse_plain
from olmoflow.commands.main import print_json


def main(arguments: Sequence[str]) -> None:
    """Print the artifacts."""
    options = parse_plain(arguments, values={"kind": KINDS, "output": ("text", "json")})
    rows = [a.summary() for a in artifacts(options.values.get("kind"))]
    if options.json_output:
        print_json({"artifacts": rows})
    elif not rows:
        print(f"no artifacts in {home()}")
    else:
        print_table(rows)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of artifacts for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("kind", "name", "created", "from", "figures"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row["kind"],
            row["name"],
            row["created"][:16].replace("T", " "),
            ", ".join(row["inputs"]),
            figures_text(row["figures"]),
        )
    Console(soft_wrap=False).print(table)


def figures_text(figures: Mapping[str, Any], limit: int = 3) -> str:
    """The first few figures in one line."""
    shown = [
        f"{k} {number_text(v)}" for k, v in figures.items() if isinstance(v, int | float | str)
    ]
    return ", ".join(shown[:limit])


def number_text(value: Any) -> str:
    """A number as people write it: 1,234,567 or 0.1235."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
