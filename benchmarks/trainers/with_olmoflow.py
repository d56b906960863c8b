"""OlmoFlow's own `fit`: Lightning's loop, our module, metrics and callbacks."""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import lightning.pytorch as pl
import torch

sys.path.insert(0, str(Path(__file__).parent))
import task

from olmoflow.model import Olmo3Config
from olmoflow.train.fit import FitOptions, fit
from olmoflow.train.module import OlmoModule
from olmoflow.train.objectives import NextTokenPrediction
from olmoflow.train.optimizer import SkipStepAdamW
from olmoflow.train.save_policy import SavePolicy
from olmoflow.train.schedules import Constant

CONFIG = Olmo3Config(
    vocab_size=task.SHAPE["vocab_size"],
    d_model=task.SHAPE["d_model"],
    n_layers=task.SHAPE["n_layers"],
    n_heads=task.SHAPE["n_heads"],
    n_kv_heads=task.SHAPE["n_heads"],
    ffn_hidden_size=task.SHAPE["ffn_hidden_size"],
    sliding_window=task.SHAPE["window"],
)


class SameBatch(pl.LightningDataModule):
    """One batch, again and again."""

    def train_dataloader(self) -> Iterator[list[dict[str, torch.Tensor]]]:
        """Without end."""
        ids = torch.randint(task.SHAPE["vocab_size"], (task.BATCH, task.SEQUENCE + 1))
        batch = {"input_ids": ids[:, :-1], "labels": ids[:, 1:]}
        while True:
            yield [batch]


class TakeTurns:
    """Stands where the metrics of each step go: there a turn ends and the next is waited for."""

    def __init__(self, turns: task.Turns) -> None:
        self.turns = turns
        self.left = self.turns.next()
        self.steps, self.started = self.left, time.perf_counter()

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """A step is done."""
        self.left -= 1
        if self.left:
            return
        self.turns.answer(time.perf_counter() - self.started)
        self.left = self.turns.next()
        if not self.left:
            raise SystemExit
        self.started = time.perf_counter()


def main() -> None:
    dtype, compiled = task.settings()
    memory = task.Memory()
    optimizer = functools.partial(
        SkipStepAdamW, lr=task.LR, betas=task.BETAS, weight_decay=task.WEIGHT_DECAY
    )
    module = OlmoModule(
        CONFIG,
        NextTokenPrediction(z_loss=task.Z_LOSS),
        optimizer,
        Constant(),
        max_grad_norm=task.MAX_NORM,
        compute_dtype=getattr(torch, dtype),
        compile_blocks=compiled,
    )
    turns = task.Turns(memory)
    with tempfile.TemporaryDirectory() as folder:
        options = FitOptions(
            run_dir=Path(folder),
            max_steps=1 << 30,
            accelerator="cpu",
            save=SavePolicy(every_steps=None, every_minutes=None),
            log_every=1,
            progress=False,
            sinks=[TakeTurns(turns)],
        )
        fit(module, SameBatch(), options, sequence_length=task.SEQUENCE)


if __name__ == "__main__":
    main()
