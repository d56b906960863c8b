"""Tables on standard output, as wide as what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_table(table: Table) -> None:
    """Print a table as wide as it is: where that is too wide, lines break and no cell is cut."""
    from rich.console import Console

    console = Console()
    wide = console.measure(table, options=console.options.update(max_width=1000)).maximum
    Console(width=max(console.width, wide)).print(table)
