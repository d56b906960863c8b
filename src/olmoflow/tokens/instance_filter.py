"""Olmo 3 32B's instance filter: sequences that repeat themselves teach nothing and are no targets.

Stretches of base64, separators or tables of zeros give gradients far off; Ai2 masks the labels of
any sequence that has a few tokens over and over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError


@dataclass(frozen=True)
class InstanceFilter:
    """Which sequences are no targets: those with a short period ``max_count`` times in a row.

    Args:
        max_period: The longest period, tokens.
        min_period: The shortest.
        max_count: So often in a row is too often.
        counted: The masked labels still count in the loss's denominator, as in the published run:
            such batches have an artificially low loss. False: the mean is over what is left.

    Raises:
        UserError: The numbers are no filter.
    """

    max_period: int = 13
    min_period: int = 1
    max_count: int = 32
    counted: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.min_period <= self.max_period:
            raise UserError(
                f"data.instance_filter.min_period={self.min_period}: expected 1 to "
                f"max_period={self.max_period}"
            )
        if self.max_count < 3:
            # Below that, Ai2's own search finds some repetitions and misses others.
            raise UserError(f"data.instance_filter.max_count={self.max_count}: expected at least 3")

    def rejects(self, tokens: NDArray[np.int64]) -> bool:
        """Whether a sequence, [T], is to be masked."""
        # As in OLMo-core, what has no room for three repetitions is not looked at.
        for period in range(self.min_period, min(self.max_period, len(tokens) // 3) + 1):
            differs = np.flatnonzero(tokens[period:] != tokens[:-period])
            borders = np.concatenate(([-1], differs, [len(tokens) - period]))
            # A run of r tokens that equal those a period before: r + period tokens repeat.
            longest = int(np.diff(borders).max()) - 1
            if longest and (longest + period) // period >= self.max_count:
                return True
        return False
