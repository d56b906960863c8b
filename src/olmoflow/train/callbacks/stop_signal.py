"""SIGTERM and Ctrl-C end a run at the next step boundary, with everything saved."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist


class StopSignal(pl.Callback):
    """A handler only sets a flag; at the end of the step all ranks agree on it and stop.

    A second signal of the same kind acts at once, as if there were no handler.
    """

    def __init__(self) -> None:
        self.received = False
        self._flag = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install the handlers, after Lightning's own."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._handle)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Agree, and ask the trainer to stop. Stands before the checkpoints' callback."""
        flag = self._flag
        if trainer.world_size > 1:
            shared = torch.tensor(int(flag), device=trainer.strategy.root_device)
            dist.all_reduce(shared, op=dist.ReduceOp.MAX)
            flag = bool(shared)
        if flag:
            self.received = True
            trainer.should_stop = True

    def _handle(self, number: int, _: FrameType | None) -> None:
        self._flag = True
        signal.signal(number, self._before.get(number) or signal.SIG_DFL)
