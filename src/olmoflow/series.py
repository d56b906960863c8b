"""A checkpoint series on the disk, by the names of its folders; nothing in them is opened."""

from __future__ import annotations

import re
from pathlib import Path


def step_folder(series: Path, step: int) -> Path:
    """Where a complete step of a series lies."""
    return series / "steps" / f"step-{step:08d}"


def series_steps(series: Path) -> list[int]:
    """The steps of a series that exist whole, ascending; half-written ones have another name."""
    names = (path.name for path in (series / "steps").glob("step-*"))
    return sorted(int(found[1]) for n in names if (found := re.fullmatch(r"step-(\d+)", n)))
