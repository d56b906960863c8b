"""What a row differs by from a baseline, run by run of the same seeds.

Runs of the same seeds start from the same weights, so much of the noise is common to both and goes
away in the difference. The interval is Student's, over the seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from olmoflow.errors import UserError
from olmoflow.report.rows import SEEDS, Report, Row

# Two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_Z = 1.959964


@dataclass(frozen=True)
class Difference:
    """A metric of a row less that of the baseline.

    Attributes:
        mean: Over the pairs.
        std: Sample standard deviation over the pairs; None for a single pair.
        half_width: Of the 95 % interval of the mean; None for a single pair.
        n: Pairs of runs with the same seeds.
        lower: In how many pairs the row is below the baseline.
    """

    mean: float
    std: float | None
    half_width: float | None
    n: int
    lower: int

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.half_width is None:
            return "one pair tells nothing of the noise"
        if abs(self.mean) <= self.half_width:
            return "no difference can be told from noise"
        return "lower" if self.mean < 0 else "higher"


def find_baseline(report: Report, pattern: str) -> Row:
    """The row with a setting that fits a pattern.

    Raises:
        UserError: None or several have one.
    """
    found = [r for r in report.rows if any(fnmatchcase(v, pattern) for v in r.setting.values())]
    if len(found) != 1:
        rows = "; ".join(row.label for row in report.rows)
        raise UserError(
            f"baseline={pattern}: fits {len(found)} rows; expected a pattern that a setting of one "
            f"row fits ({rows})"
        )
    return found[0]


def differences(report: Report, baseline: Row) -> list[tuple[Row, Mapping[str, Difference]]]:
    """Every other row less the baseline, by metric; a metric without pairs is left out."""
    others = [row for row in report.rows if row is not baseline]
    return [(row, _of_row(row, baseline, report.metrics)) for row in others]


def student_t(degrees: int) -> float:
    """The two-sided 95 % quantile of Student's t (Hill 1970's expansion beyond the table)."""
    if degrees <= len(_T):
        return _T[degrees - 1]
    z = _Z
    first = (z**3 + z) / (4 * degrees)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * degrees**3)
    return z + first + second + third


def _of_row(row: Row, baseline: Row, metrics: Sequence[str]) -> dict[str, Difference]:
    ours, theirs = _by_seeds(row), _by_seeds(baseline)
    found = {}
    for name in metrics:
        pairs = [
            ours[seeds].metrics[name] - theirs[seeds].metrics[name]
            for seeds in ours.keys() & theirs.keys()
            if name in ours[seeds].metrics and name in theirs[seeds].metrics
        ]
        if pairs:
            found[name] = _difference(sorted(pairs))
    return found


def _by_seeds(row: Row) -> dict[tuple[Any, ...], Any]:
    return {tuple(run.config.get(seed) for seed in SEEDS): run for run in row.runs}


def _difference(pairs: Sequence[float]) -> Difference:
    n = len(pairs)
    std = statistics.stdev(pairs) if n > 1 else None
    half = None if std is None else student_t(n - 1) * std / math.sqrt(n)
    return Difference(statistics.fmean(pairs), std, half, n, sum(d < 0 for d in pairs))
