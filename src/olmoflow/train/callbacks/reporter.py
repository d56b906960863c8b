"""Every few steps: metrics, throughput and MFU, to whoever listens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch

from olmoflow.train.hardware import lacks_bfloat16, peak_flops, raised_peak
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
        self._window = self._run = _Stretch()
        self._waiting_since = time.perf_counter()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin the clocks; measure a CPU's peak rate."""
        assert isinstance(pl_module, OlmoModule)
        device = trainer.strategy.root_device
        dtype = pl_module.model.compute_dtype
        if dtype is torch.bfloat16 and trainer.is_global_zero and lacks_bfloat16(device):
            print(
                "dtype=bfloat16: this processor has no instructions for it, dtype=float32 is many "
                "times faster here",
                file=sys.stderr,
            )
        # Rank 0 alone reports; ranks that measured as well would share its cores.
        self.peak_flops = peak_flops(device, dtype) if trainer.is_global_zero else None
        self._window = _Stretch.of(pl_module)
        self._run = _Stretch.of(pl_module)
        self._waiting_since = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """The data have come."""
        self._window.data_seconds += time.perf_counter() - self._waiting_since

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Report if it is time."""
        step = trainer.global_step
        regular = step % self.every == 0
        if regular or step == trainer.max_steps or trainer.should_stop:
            assert isinstance(pl_module, OlmoModule)
            # An irregular report at the end leaves the averages to the checkpoint, for the resumed
            # run.
            metrics = pl_module.collect(reset=regular)
            metrics |= self._throughput(trainer, pl_module) | gpu_memory()
            self._window = _Stretch.of(pl_module)
            self.latest = metrics
            if trainer.is_global_zero:
                for sink in self.sinks:
                    sink(step, metrics)
        self._waiting_since = time.perf_counter()

    def add(self, trainer: pl.Trainer, metrics: dict[str, float], seconds: float) -> None:
        """Hand on what another callback has measured at this step, after the step's own report.

        Args:
            trainer: The trainer.
            metrics: By name.
            seconds: What that took; it does not count as training.
        """
        self._window.started += seconds
        self._run.started += seconds
        self._waiting_since += seconds
        self.latest = {**self.latest, **metrics}
        if trainer.is_global_zero:
            for sink in self.sinks:
                sink(trainer.global_step, metrics)

    def _throughput(self, trainer: pl.Trainer, module: OlmoModule) -> dict[str, float]:
        """Speed since the last report and since the start, under OLMo-core's names."""
        window, run, world = self._window, self._run, trainer.world_size
        seconds = window.seconds()
        tps = (module.tokens - window.tokens) / seconds / world
        average = (module.tokens - run.tokens) / run.seconds() / world
        steps = trainer.global_step - window.step
        speed = self._flops(module, window) / seconds / world
        metrics = {
            "total petaflops": self._flops(module) / 1e15,
            "chinchilla multiple": module.tokens
            / (20 * module.config.num_non_embedding_parameters),
            "device/TPS": tps,
            "device/TPS (actual avg)": average,
            "device/BPS": steps / seconds,
            "device/flopsPS": speed,
            "device/data loading (s)": window.data_seconds / max(1, steps),
            "device/data loading (%)": 100 * window.data_seconds / seconds,
        }
        if self.peak_flops:
            self._raise_peak(trainer, module, speed)
            mean_speed = self._flops(module, run) / run.seconds() / world
            metrics["device/MFU"] = 100 * speed / self.peak_flops
            metrics["device/MFU (actual avg)"] = 100 * mean_speed / self.peak_flops
        return {f"throughput/{name}": value for name, value in metrics.items()}

    def _raise_peak(self, trainer: pl.Trainer, module: OlmoModule, speed: float) -> None:
        """See that MFU stays below 1; what measuring takes does not count as training."""
        assert self.peak_flops is not None
        before, device = time.perf_counter(), trainer.strategy.root_device
        self.peak_flops = raised_peak(self.peak_flops, speed, device, module.model.compute_dtype)
        self._run.started += time.perf_counter() - before

    def _flops(self, module: OlmoModule, since: _Stretch | None = None) -> float:
        """FLOPs of the formula, without the LM head's where it was not needed."""
        since = since or _Stretch()
        tokens, seen = module.tokens - since.tokens, module.head_tokens - since.head_tokens
        per_token = module.config.flops_per_token(self.sequence_length)
        return tokens * per_token - (tokens - seen) * module.config.head_flops_per_token


@dataclass
class _Stretch:
    """Part of a run: where it began, and how long it has waited for data.

    Attributes:
        step: Where it began.
        tokens: Seen until then.
        head_tokens: Of them, those that the LM head saw.
        started: Clock at its beginning.
        data_seconds: Spent on waiting for data.
    """

    step: int = 0
    tokens: int = 0
    head_tokens: int = 0
    started: float = field(default_factory=time.perf_counter)
    data_seconds: float = 0.0

    @classmethod
    def of(cls, module: OlmoModule) -> _Stretch:
        """One that begins here."""
        return cls(module.global_step, module.tokens, module.head_tokens)

    def seconds(self) -> float:
        """How long it has lasted."""
        return time.perf_counter() - self.started


def gpu_memory() -> dict[str, float]:
    """The most memory that PyTorch has used of a CUDA device; nothing without one."""
    if not torch.cuda.is_available():
        return {}
    total = torch.cuda.get_device_properties().total_memory
    used = {
        "active": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
    }
    metrics = {}
    for name, amount in used.items():
        metrics[f"gpu_memory/GPU {name} mem (GiB)"] = amount / 2**30
        metrics[f"gpu_memory/GPU {name} mem (%)"] = 100 * amount / total
    return metrics
