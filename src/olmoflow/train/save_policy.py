"""When a run is saved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SavePolicy:
    """When checkpoints are written and which are kept.

    Attributes:
        every_steps: Permanent checkpoints; None: none.
        every_minutes: Rolling checkpoints; None: none.
        keep_last: Rolling checkpoints that are kept.
        asynchronous: Training goes on while a checkpoint is written.
    """

    every_steps: int | None = 1000
    every_minutes: float | None = 10.0
    keep_last: int = 2
    asynchronous: bool = True
