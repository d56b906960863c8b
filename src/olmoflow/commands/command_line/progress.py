"""Bars on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bar(what: str, shown: bool) -> Iterator[Any]:
    """A bar; yields a callback (done, total)."""
    with _bars(shown) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def progress_of_steps(shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar a step; yields a callback (step, done, total)."""
    tasks: dict[str, Any] = {}
    bars = _bars(shown)

    def advance(what: str, done: int, total: int) -> None:
        if not tasks:
            bars.start()
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=None)
        bars.update(tasks[what], completed=done, total=total)

    try:
        yield advance
    finally:
        if tasks:  # else it would leave an empty line
            bars.stop()


def _bars(shown: bool) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:.0f} %"),
    )
    return Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not shown
    )
