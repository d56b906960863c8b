"""Scores that a run's metrics.csv holds: of tasks that were evaluated while it trained."""

from __future__ import annotations

import csv
from pathlib import Path

from olmoflow.evaluate.scores import beside, is_score

Curve = dict[int, tuple[int, float]]
"""Step to the questions behind a score, 0 where their number is not known, and the score."""


def in_the_loop(run_dir: Path) -> dict[str, Curve]:
    """Metric to its scores; empty where there are none."""
    file = run_dir / "metrics.csv"
    found: dict[str, Curve] = {}
    if not file.is_file():
        return found
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            for name, value in row.items():
                if name and is_score(name) and value:
                    n = int(float(row.get(beside("questions", name)) or 0))
                    found.setdefault(name, {})[int(row["step"])] = n, float(value)
    return found
