"""Learning-rate schedules as Ai2 published them: a factor on the peak rate for each step.

A schedule knows its horizon; a run that stops earlier (``hard_stop``) leaves it as it is.
Step 0 is the first optimizer step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """The learning rate over the steps of a run."""

    def factor(self, step: int) -> float:
        """What the peak learning rate is multiplied by at a step (counted from 0)."""


@dataclass(frozen=True)
class Constant:
    """Linear warm-up, then the peak."""

    warmup: int = 0

    def factor(self, step: int) -> float:
        """See `Schedule`."""
        return _warmup(step, self.warmup)


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine down to ``final`` at ``horizon``.

    Args:
        horizon: Step at which the cosine ends.
        warmup: Steps of the warm-up.
        final: The factor at the end.
    """

    horizon: int
    warmup: int = 2000
    final: float = 0.1

    def factor(self, step: int) -> float:
        """See `Schedule`."""
        if step < self.warmup:
            return _warmup(step, self.warmup)
        done = min(1.0, (step - self.warmup) / max(1, self.horizon - self.warmup))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True)
class HalfCosine:
    """The second half of a cosine, stretched: from the middle of the range to ``final``.

    Olmo 3 7B left its 5T-token cosine half-way and went on with this to the end of its epoch.

    Args:
        horizon: Step at which the cosine ends.
        start: Step at which the stretch begins.
        final: The factor at the end.
    """

    horizon: int
    start: int
    final: float = 0.1

    def factor(self, step: int) -> float:
        """See `Schedule`."""
        done = min(1.0, max(0, step - self.start) / max(1, self.horizon - self.start))
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * (1 + done) / 2)) / 2


@dataclass(frozen=True)
class Linear:
    """Linear warm-up, then linearly to ``final`` at ``horizon``."""

    horizon: int
    warmup: int = 0
    final: float = 0.0

    def factor(self, step: int) -> float:
        """See `Schedule`."""
        if step < self.warmup:
            return _warmup(step, self.warmup)
        done = min(1.0, (step - self.warmup) / max(1, self.horizon - self.warmup))
        return 1 - (1 - self.final) * done


@dataclass(frozen=True)
class WarmupStableDecay:
    """Linear warm-up, the peak, and a linear decay over the last ``decay`` steps."""

    horizon: int
    warmup: int
    decay: int
    final: float = 0.0

    def factor(self, step: int) -> float:
        """See `Schedule`."""
        if step < self.warmup:
            return _warmup(step, self.warmup)
        done = min(1.0, max(0, step - (self.horizon - self.decay)) / max(1, self.decay))
        return 1 - (1 - self.final) * done


def _warmup(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / steps) if steps else 1.0
