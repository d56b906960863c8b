"""``olmoflow list [kind=KIND] [output=json]``: the finished artifacts, oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from olmoflow.artifact import KINDS, artifacts, home
from olmoflow.commands.command_line.plain import parse_plain
from olmoflow.commands.command_line.tables import print_table
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
        print_artifacts(rows)


def print_artifacts(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table of artifacts for people."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("kind", "name", "created", "from", "figures"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(
            row["kind"],
            row["name"],
            row["created"][:16].replace("T", " "),
            _few(row["inputs"]),
            figures_text(row["figures"]),
        )
    print_table(table)


def figures_text(figures: Mapping[str, Any], limit: int = 3) -> str:
    """The first few figures in one line; counts by split or source as their sum."""
    shown = {}
    for name, value in figures.items():
        if isinstance(value, Mapping) and all(type(v) is int for v in value.values()):
            value = sum(value.values())
        if isinstance(value, int | float | str) and value != 0:
            shown[name] = f"{name} {number_text(value)}"
    return ", ".join([*shown.values()][:limit])


def _few(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def number_text(value: Any) -> str:
    """A number as people write it: 1,234,567 or 0.1235."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
