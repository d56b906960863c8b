"""The same 20 steps under several arrangements of the ranks: run by a test, under torchrun.

world_sizes.py SHARDS FOLDER CASE…    a case is NAME:replicate,shard,context
"""

import json
import os
import sys
from pathlib import Path

import torch

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config, YaRN
from olmoflow.model.checkpoint import list_steps
from olmoflow.tokens import Source, TokenDataModule
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.fit import FitOptions, fit
from olmoflow.train.module import OlmoModule
from olmoflow.train.objectives import NextTokenPrediction
from olmoflow.train.optimizer import SkipStepAdamW
from olmoflow.train.save_policy import SavePolicy
from olmoflow.train.schedules import Cosine

STEPS, SPOILT = 20, 11
YARN = YaRN(factor=2.0, original_max_position=32)


class SpoiltOnce(NextTokenPrediction):
    """One rank's loss is no number in one step: all must sit it out."""

    def __call__(self, model, batch):
        terms = super().__call__(model, batch)
        if self.trainer.global_step == SPOILT and self.trainer.is_global_zero:
            terms.metrics["CE loss"] = terms.metrics["CE loss"] * torch.nan
        return terms


def train(shards: Path, folder: Path, mesh: Mesh, **options) -> None:
    """Train into a folder; rank 0 leaves the curve in its metrics.csv."""
    config = Olmo3Config(
        vocab_size=512,
        d_model=32,
        n_layers=4,
        n_heads=2,
        n_kv_heads=1,
        ffn_hidden_size=64,
        sliding_window=12,
        max_sequence_length=64,
        init_std=0.1,
        yarn=YARN,
    )
    objective = SpoiltOnce(chunk_tokens=48)
    module = OlmoModule(
        config,
        objective,
        lambda groups: SkipStepAdamW(groups, lr=3e-3),
        Cosine(horizon=STEPS, warmup=3),
        **options,
    )
    data = TokenDataModule(
        [Source(str(shards / "train"), max_repetition=100.0)],
        sequence_length=64,
        global_batch_tokens=512,
        micro_batch_sequences=1,
        seed=1,
        max_steps=STEPS,
        document_mask=True,
    )
    object.__setattr__(objective, "trainer", _TrainerOf(module))
    settings = FitOptions(
        run_dir=folder,
        max_steps=STEPS,
        mesh=mesh,
        accelerator="cpu",
        save=SavePolicy(every_steps=None, every_minutes=None),
        progress=False,
        log_every=1,
    )
    fit(module, data, settings, sequence_length=64)


class _TrainerOf:
    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module.trainer, name)


def main(shards: Path, folder: Path, cases: list[str]) -> None:
    """Run the cases one after the other in this process."""
    for case in cases:
        name, _, shape = case.partition(":")
        options = {}
        if name == "recomputed":
            options["checkpointing"] = ActivationCheckpointing(
                "modules", ["blocks.*.feed_forward", "blocks.1.attention"]
            )
        train(shards, folder / name, Mesh(*map(int, shape.split(","))), **options)
        if int(os.environ.get("RANK", 0)) == 0:
            (step,) = list_steps(folder / name)
            (folder / name / "done.json").write_text(json.dumps({"step": step.step}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
