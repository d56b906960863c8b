"""The progress bar: loss, tokens/s, MFU and time left; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from olmoflow.train.module import OlmoModule

_SECONDS_BETWEEN_LINES = 10.0


class Progress(pl.Callback):
    """Shows where the run is, on standard error.

    Args:
        max_steps: The last step.
        shown: False: silent.
    """

    def __init__(self, max_steps: int, *, shown: bool = True) -> None:
        self.max_steps, self.shown = max_steps, shown
        self.text, self.loss = "", ""
        self.bar: RichProgress | None = None
        self._printed = 0.0
        self._started = (0, 0.0)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put up the bar."""
        assert isinstance(pl_module, OlmoModule)
        self.loss = f"train/{pl_module.objective.watched}"
        self._started = (trainer.global_step, time.monotonic())
        if not (self.shown and trainer.is_global_zero and sys.stderr.isatty()):
            return
        self.bar = RichProgress(
            TextColumn("train"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=2,
        )
        self.bar.add_task("train", total=self.max_steps, completed=trainer.global_step, text="")
        self.bar.start()

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Take in a report of the training itself."""
        if self.loss not in metrics:
            return
        parts = [f"loss {metrics[self.loss]:.3f}"]
        parts.append(f"{metrics['throughput/device/TPS']:,.0f} tokens/s")
        mfu = metrics.get("throughput/device/MFU", 100.0)
        if mfu < 100.0:  # else a CPU's peak was measured while other work took its cores
            parts.append(f"MFU {mfu:.0f} %")
        self.text = "  ".join(parts)
        if self.bar is None and self.shown:
            self._print_line(step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Move the bar."""
        if self.bar is not None:
            task = self.bar.task_ids[0]
            self.bar.update(task, completed=trainer.global_step, text=self.text)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take down the bar."""
        if self.bar is not None:
            self.bar.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal as it was."""
        self.on_train_end(trainer, pl_module)

    def _print_line(self, step: int) -> None:
        now = time.monotonic()
        if now - self._printed < _SECONDS_BETWEEN_LINES and step < self.max_steps:
            return
        self._printed = now
        first, started = self._started
        left = (now - started) / max(1, step - first) * (self.max_steps - step)
        clock = f"{int(left) // 3600}:{int(left) // 60 % 60:02d}:{int(left) % 60:02d}"
        print(f"train {step}/{self.max_steps}  {self.text}  {clock} left", file=sys.stderr)
