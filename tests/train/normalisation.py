"""One step of gradient descent under several arrangements of two ranks: run by a test, by torchrun.

normalisation.py SHARDS FOLDER CASE…    a case is NORMALISATION:replicate,shard,context
"""

import sys
from pathlib import Path

import torch

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config
from olmoflow.tokens import Source, TokenDataModule
from olmoflow.train.fit import FitOptions, fit
from olmoflow.train.linear_cross_entropy import IGNORE
from olmoflow.train.module import OlmoModule
from olmoflow.train.objectives import NextTokenPrediction
from olmoflow.train.save_policy import SavePolicy
from olmoflow.train.schedules import Constant

RATE, SEED = 0.5, 3
CONFIG = Olmo3Config(
    vocab_size=512,
    d_model=32,
    n_layers=4,
    n_heads=2,
    n_kv_heads=1,
    ffn_hidden_size=64,
    sliding_window=12,
    max_sequence_length=64,
    init_std=0.1,
)


class FewTargets(NextTokenPrediction):
    """Tokens with small ids are no targets, so the ranks have different numbers of them."""

    def count(self, batch):
        return super().count(self.masked(batch))

    def prepare(self, batch):
        return super().prepare(self.masked(batch))

    def __call__(self, model, batch):
        return super().__call__(model, self.masked(batch))

    @staticmethod
    def masked(batch):
        labels = batch["labels"]
        return {**batch, "labels": labels.masked_fill(labels < 300, IGNORE)}


def data_of(shards):
    """8 sequences a step, 2 a micro-batch."""
    return TokenDataModule(
        [Source(str(shards / "train"), max_repetition=100.0)],
        sequence_length=64,
        global_batch_tokens=512,
        micro_batch_sequences=2,
        seed=1,
        max_steps=1,
    )


def main(shards: Path, folder: Path, cases: list[str]) -> None:
    """Run the cases one after the other in this process."""
    for case in cases:
        normalisation, _, shape = case.partition(":")
        module = OlmoModule(
            CONFIG,
            FewTargets(z_loss=0.0, chunk_tokens=48),
            lambda groups: torch.optim.SGD(groups, lr=RATE),
            Constant(),
            normalisation=normalisation,
            max_grad_norm=None,
            seed=SEED,
        )
        settings = FitOptions(
            run_dir=folder / case,
            max_steps=1,
            mesh=Mesh(*map(int, shape.split(","))),
            accelerator="cpu",
            save=SavePolicy(every_steps=None, every_minutes=None),
            progress=False,
            log_every=1,
        )
        fit(module, data_of(shards), settings, sequence_length=64)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
