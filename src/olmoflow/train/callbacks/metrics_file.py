"""``metrics.csv``: one row a report, whatever the logger, right across resumes."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path


class MetricsFile:
    """A CSV file that continues: rows after the resumed step are dropped, later ones appended.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = ["step"]
        self._step: int | None = None

    def resume_at(self, step: int, every: int, last_step: int) -> None:
        """Drop the rows of steps that will be done again, and of an end that was none.

        Args:
            step: Where the run is taken up.
            every: Steps between two regular rows.
            last_step: Where it ends; its row stands, regular or not.
        """
        rows = [
            row
            for row in self._read()
            if (number := int(row["step"])) <= step and (number % every == 0 or number == last_step)
        ]
        if self.path.exists():
            self._write(rows)

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Append a row, or add to the last one where it is of this step; columns come as needed."""
        row = {"step": str(step), **{name: repr(value) for name, value in metrics.items()}}
        again, self._step = step == self._step, step
        if again or not self.path.exists() or set(row) - set(self.columns):
            rows = self._read()
            if again and rows and rows[-1]["step"] == row["step"]:
                row = {**rows.pop(), **row}
            self.columns += [name for name in row if name not in self.columns]
            self._write([*rows, row])
            return
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Every row, as it was reported: its step and its metrics."""
        for row in self._read():
            yield int(row["step"]), {k: float(v) for k, v in row.items() if k != "step" and v}

    def last(self) -> dict[str, float]:
        """The metrics of the last row; empty if there is none."""
        return next((metrics for _, metrics in reversed(list(self.rows()))), {})

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            self.columns = list(reader.fieldnames or ["step"])
        # A kill can cut the last line short.
        return [row for row in rows if None not in row.values() and None not in row]

    def _write(self, rows: list[dict[str, str]]) -> None:
        partial = self.path.with_suffix(".csv.partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(self.path)
