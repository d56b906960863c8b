"""Histograms as inline SVG: their shapes stretch with the page, their text does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from olmoflow.curate.report.numbers import count

_LABELS = 6  # along the horizontal axis, at most


def histogram(
    label: str,
    ticks: Sequence[tuple[float, str]],
    bins: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    log: bool = False,
) -> str:
    """Two histograms over the same bins: wide pale bars, and narrow strong ones in front.

    Args:
        label: What a screen reader says.
        ticks: Places along the axis, in bins from the left, and their texts.
        bins: What each bin is, for a pointer held over it.
        before: [bins].
        after: [bins], or empty.
        log: Draw the logarithm of the counts.
    """
    number = len(bins)
    highest = max([*before, *after, 0]) or 1
    marks = _log_marks(highest) if log else _marks(highest)
    top = marks[-1]

    def height(value: float) -> float:
        if not log:
            return 100 * value / top
        # From half a document up, so that one can be seen.
        return max(0.0, 100 * math.log(2 * value) / math.log(2 * top)) if value else 0.0

    shapes = []
    series = [(before, 0.06, 0.88, "before"), (after, 0.26, 0.48, "after")]
    if not after:
        series = [(before, 0.06, 0.88, "after")]
    for values, start, width, kind in series:
        for place, value in enumerate(values):
            tall = height(value)
            if tall:
                text = f"{bins[place]}: {count(value)}" + (f" {kind}" if after else "")
                shapes.append(
                    f'<rect class="{kind}" x="{place + start:.2f}" y="{100 - tall:.2f}" '
                    f'width="{width}" height="{tall:.2f}"><title>{escape(text)}</title></rect>'
                )
    lines = "".join(
        f'<line class="grid" x1="0" x2="{number}" y1="{100 - height(mark):.2f}" '
        f'y2="{100 - height(mark):.2f}"/>'
        for mark in marks
    )
    heights = "".join(
        f'<span style="bottom:{height(mark):.2f}%">{_short(mark)}</span>' for mark in marks
    )
    places = "".join(
        f'<span style="left:{100 * place / number:.2f}%">{escape(text)}</span>'
        for place, text in ticks
    )
    return (
        f'<div class="plot"><div class="heights" aria-hidden="true">{heights}</div>'
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {number} 100" '
        f'preserveAspectRatio="none">{lines}{"".join(shapes)}</svg>'
        f'<div class="places" aria-hidden="true">{places}</div></div>'
    )


def edge_ticks(edges: Sequence[float], unit: str) -> list[tuple[float, str]]:
    """Labels for the edges of bins, as many as there is room for."""
    step = max(1, math.ceil((len(edges) - 1) / _LABELS))
    return [(float(n), _short(edges[n], unit)) for n in range(0, len(edges), step)]


def bin_ticks(names: Sequence[str]) -> list[tuple[float, str]]:
    """Labels for the middles of bins, as many as there is room for."""
    step = max(1, math.ceil(len(names) / _LABELS))
    return [(n + 0.5, names[n]) for n in range(0, len(names), step)]


def _short(value: float, unit: str = "") -> str:
    """A count without decimals that are zeros: 10 k instead of 10.0 k; 2 KiB for 2048 bytes."""
    if unit == "bytes" and value and (binary := _binary(value)):
        return binary
    number, space, name = count(value, unit).partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + name


def _binary(value: float) -> str:
    """Bytes as a whole number of KiB, MiB … below 1024, or nothing where they are none."""
    for power, name in enumerate(("KiB", "MiB", "GiB", "TiB"), 1):
        whole, rest = divmod(value, 1024**power)
        if not rest and whole < 1024:
            return f"{whole:.0f} {name}"
    return ""


def _marks(highest: float) -> list[float]:
    """Round numbers from 0 to at least the highest: 0, 5, 10 for 9."""
    rough = highest / 3
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough)
    if highest >= 3:
        step = math.ceil(step)
    return [step * n for n in range(math.ceil(highest / step - 1e-9) + 1)]


def _log_marks(highest: float) -> list[float]:
    """Powers of ten from 1 to at least the highest, every second or third where there are many."""
    powers = max(1, math.ceil(math.log10(highest)))
    step = math.ceil(powers / 4)
    return [10.0**power for power in range(0, powers + step, step)]
