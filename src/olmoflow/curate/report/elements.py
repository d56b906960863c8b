"""The small parts of a report's page: bars, tables, legends, and what is folded in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def bar(before: float, after: float, largest: float, title: str, kind: str = "") -> str:
    """What is left of an amount: a full bar, and behind it what went.

    Args:
        before: The amount before.
        after: The amount after.
        largest: The amount that has the full width.
        title: What a pointer held over it says.
        kind: A class of the style sheet.
    """
    width = 100 / largest if largest else 0
    gone = max(0.0, before - after)
    return (
        f'<div class="bar {kind}" title="{escape(title)}" aria-hidden="true">'
        f'<span class="left" style="width:{after * width:.3f}%"></span>'
        f'<span class="gone" style="width:{gone * width:.3f}%"></span></div>'
    )


def folded(summary: str, body: str, html: bool = False) -> str:
    """Something that opens when its summary is chosen; ``html``: the summary is HTML already."""
    return f"<details><summary>{summary if html else escape(summary)}</summary>{body}</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, which scrolls sideways where it is too wide."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Numbers"><table>'
        f"<thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def legend(*keys: tuple[str, str]) -> str:
    """Colours of the style sheet and what they stand for."""
    items = "".join(
        f'<span><span class="key" style="background:var(--{colour})"></span>{text}</span>'
        for colour, text in keys
    )
    return f'<div class="legend quiet">{items}</div>'
