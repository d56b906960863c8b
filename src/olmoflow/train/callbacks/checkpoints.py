"""When a checkpoint is written, and which ones are kept."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist

from olmoflow.model.checkpoint import Checkpoint
from olmoflow.model.checkpoint.folder import remove_step
from olmoflow.series import series_steps
from olmoflow.train.callbacks.stop_signal import StopSignal
from olmoflow.train.save_policy import SavePolicy
from olmoflow.train.strategy import HSDPStrategy


class CheckpointCadence(pl.Callback):
    """Saves at step boundaries: every so many steps for good, every so many minutes for a while.

    The last step is always saved. Rolling checkpoints are removed only after a newer one is
    complete, so that a kill at any moment leaves one.
    """

    def __init__(self, policy: SavePolicy, stop: StopSignal) -> None:
        self.policy, self.stop = policy, stop
        self._saved_at = time.monotonic()
        self._saved_step = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the clock; prune after each completed save."""
        self._saved_at = time.monotonic()
        self._saved_step = trainer.global_step
        strategy = trainer.strategy
        assert isinstance(strategy, HSDPStrategy)
        strategy.writer.on_complete = self._prune

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save if it is time, on every rank alike."""
        if self._due(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last step."""
        self._save(trainer)
        strategy = trainer.strategy
        assert isinstance(strategy, HSDPStrategy)
        strategy.writer.wait()

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.global_step != self._saved_step:
            trainer.save_checkpoint(f"step-{trainer.global_step}")
            self._saved_at, self._saved_step = time.monotonic(), trainer.global_step

    def _due(self, trainer: pl.Trainer) -> bool:
        every = self.policy.every_steps
        if self.stop.received or (every and trainer.global_step % every == 0):
            return True
        minutes = self.policy.every_minutes
        if not minutes:
            return False
        due = time.monotonic() - self._saved_at >= 60 * minutes
        if trainer.world_size > 1:
            # The ranks' clocks differ by a little, their decisions must not.
            flag = torch.tensor(int(due), device=trainer.strategy.root_device)
            dist.broadcast(flag, src=0)
            due = bool(flag)
        return due

    def _prune(self, newest: Checkpoint) -> None:
        # By their names alone: a long series has too many files to look at all of them.
        every, series = self.policy.every_steps, newest.path.parents[1]
        rolling = [
            step
            for step in series_steps(series)
            if not (every and step % every == 0) and step < newest.step
        ]
        for old in rolling[: max(0, len(rolling) + 1 - self.policy.keep_last)]:
            remove_step(series, old)
