"""Numbers for people: 1.23 million, 4.5 GB, 3 min."""

from __future__ import annotations

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def count(value: float, unit: str = "") -> str:
    """A count with three significant digits, of ``bytes`` with their unit.

    Whole numbers below 10,000 stand as they are.
    """
    if unit == "bytes":
        return _scaled(value, _BYTES) or f"{_plain(value)} B"
    if abs(value) < 10_000:
        return _plain(value)
    return _scaled(value, _UNITS) or _plain(value)


def change(before: float, after: float) -> str:
    """By how much a count changed, in percent: −12.5 %, +3 %, unchanged."""
    if before == after:
        return "unchanged"
    if not before:
        return "new"
    share = (after - before) / before
    # Not −100 % where something is left, nor −0 %.
    digits = 3 if abs(share) < 0.001 or share < -0.999 else 1
    text = f"{abs(share) * 100:.{digits}f}".rstrip("0").rstrip(".") if share else "0"
    small = text in ("0", "")
    return ("−" if share < 0 else "+") + ("<0.001" if small else text) + " %"


def share(part: float, whole: float) -> str:
    """A part in percent of the whole."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def duration(seconds: float) -> str:
    """A time in the units that suit it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    if minutes < 120:
        return f"{minutes:.1f} min"
    return f"{minutes / 60:.1f} h"


def _plain(value: float) -> str:
    if float(value).is_integer():
        return f"{int(value):,}".replace(",", "\u202f")  # a narrow space
    return f"{value:.3g}"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    for size, name in units:
        # What would round up to 1000 of a unit takes the next.
        if abs(value) >= 0.9995 * size:
            digits = 2 if abs(value) < 9.995 * size else 1 if abs(value) < 99.95 * size else 0
            text = f"{value / size:.{digits}f}"
            return f"{text} {name}"
    return ""
