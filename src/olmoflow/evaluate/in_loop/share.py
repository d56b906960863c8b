"""The share of the time that evaluation may take."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Share:
    """Keeps account of it.

    Attributes:
        limit: At most so much of all the time, above 0; None: no limit.
        spent: Seconds that went into evaluation.
        last: What the last one took; None: there was none.
    """

    limit: float | None
    spent: float = 0.0
    last: float | None = field(default=None)

    def allows(self, expected: float, elapsed: float) -> bool:
        """Whether evaluation stays within its share if it now takes this long.

        Args:
            expected: Seconds.
            elapsed: Seconds since the start, evaluation included.
        """
        return self.limit is None or expected <= self.allowance(elapsed)

    def allowance(self, elapsed: float) -> float:
        """Seconds that it may take now: x with ``spent + x = limit · (elapsed + x)``."""
        if self.limit is None or self.limit >= 1:
            return float("inf")
        return max(0.0, (self.limit * elapsed - self.spent) / (1 - self.limit))

    def spend(self, seconds: float) -> None:
        """Enter what an evaluation took."""
        self.spent += seconds
        self.last = seconds
