"""Every few steps: metrics, throughput and MFU, to whoever listens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl

from olmoflow.train.hardware import peak_flops
from olmoflow.train.module import OlmoModule

Sink = Callable[[int, dict[str, float]], None]


class Reporter(pl.Callback):
    """Collects the averages of the last steps and hands them to the sinks, on rank 0.

    Nothing of a step is read back to the host between two reports.

    Args:
        every: Steps between two reports.
        sequence_length: Tokens; FLOPs per token depend on it.
        sinks: Called with (step, metrics).
    """

    def __init__(self, every: int, sequence_length: int, sinks: Sequence[Sink]) -> None:
        self.every, self.sinks = every, list(sinks)
        self.sequence_length = sequence_length
        self.peak_flops: float | None = None
        self.latest: dict[str, float] = {}
        self._clock = time.perf_counter()
        self._tokens = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the clock; measure a CPU's peak rate."""
        assert isinstance(pl_module, OlmoModule)
        device = trainer.strategy.root_device
        self.peak_flops = peak_flops(device, pl_module.model.compute_dtype)
        self._clock, self._tokens = time.perf_counter(), pl_module.tokens

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Report if it is time."""
        step = trainer.global_step
        regular = step % self.every == 0
        if not (regular or step == trainer.max_steps or trainer.should_stop):
            return
        assert isinstance(pl_module, OlmoModule)
        # An irregular report at the end leaves the averages to the checkpoint, for the resumed run.
        metrics = pl_module.collect(reset=regular)
        now = time.perf_counter()
        per_second = (pl_module.tokens - self._tokens) / (now - self._clock) / trainer.world_size
        self._clock, self._tokens = now, pl_module.tokens
        metrics["throughput/device/TPS"] = per_second
        if self.peak_flops:
            flops = pl_module.config.flops_per_token(self.sequence_length)
            metrics["throughput/device/MFU"] = 100 * per_second * flops / self.peak_flops
        self.latest = metrics
        if trainer.is_global_zero:
            for sink in self.sinks:
                sink(step, metrics)
