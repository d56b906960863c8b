"""SIGTERM, Ctrl-C and a cluster's SIGUSR1 end a run at the next step, with everything saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist

# A cluster's are the last two.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopSignal(pl.Callback):
    """A handler only sets a flag; at the end of the step all ranks agree on it and stop.

    A second SIGINT or SIGTERM acts at once, as if there were no handler. SIGUSR1 and SIGUSR2 are
    what a cluster sends before the time limit, and mean that the run is to go on later.
    """

    def __init__(self) -> None:
        self._flag = 0
        self._agreed = 0
        self._before: dict[int, Any] = {}

    @property
    def received(self) -> bool:
        """Whether the ranks have agreed to stop."""
        return self._agreed != 0

    @property
    def out_of_time(self) -> bool:
        """Whether they stop for the cluster's sake alone."""
        return self._agreed in (signal.SIGUSR1, signal.SIGUSR2)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """At the end of the block, give back the handlers that were there at its beginning.

        Not when training ends: a signal that came during the last save would cost that save.
        """
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            yield
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    if handler is not None:  # not one of Python's
                        signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers, after Lightning's own."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Agree, and ask the trainer to stop. Stands before the checkpoints' callback."""
        flag = self._flag
        if trainer.world_size > 1:
            shared = torch.tensor(flag, device=trainer.strategy.root_device)
            # Of several signals SIGTERM, the greatest number, wins.
            dist.all_reduce(shared, op=dist.ReduceOp.MAX)
            flag = int(shared)
        if flag:
            self._agreed = flag
            trainer.should_stop = True

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._flag = max(self._flag, number)
        # SLURM tells each task, and srun passes on what it was told: the same SIGTERM comes twice.
        twice = number == signal.SIGTERM and "SLURM_JOB_ID" in os.environ
        if number in (signal.SIGTERM, signal.SIGINT) and not twice:
            signal.signal(number, self._before.get(number) or signal.SIG_DFL)
