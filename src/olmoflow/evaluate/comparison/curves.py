"""Scores that a run's metrics.csv holds: of tasks that were evaluated while it trained."""

from __future__ import annotations

import csv
from pathlib import Path

PREFIX = "eval/"


def in_the_loop(run_dir: Path) -> dict[str, dict[int, float]]:
    """Metric to step to score; empty where there are none."""
    file = run_dir / "metrics.csv"
    found: dict[str, dict[int, float]] = {}
    if not file.is_file():
        return found
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            for name, value in row.items():
                if name and name.startswith(PREFIX) and value:
                    found.setdefault(name, {})[int(row["step"])] = float(value)
    return found
