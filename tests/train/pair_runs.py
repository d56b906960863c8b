"""A few steps of DPO under an arrangement of the ranks: run by a test, also under torchrun.

pair_runs.py SHARDS REFERENCE FOLDER CASE…    a case is NAME:replicate,shard
"""

import sys
from pathlib import Path

from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3Config
from olmoflow.tokens import PairDataModule
from olmoflow.train.fit import FitOptions, fit
from olmoflow.train.module import OlmoModule
from olmoflow.train.objectives import DirectPreference
from olmoflow.train.optimizer import SkipStepAdamW
from olmoflow.train.save_policy import SavePolicy
from olmoflow.train.schedules import Cosine

STEPS = 5
CONFIG = Olmo3Config(
    vocab_size=100,
    d_model=32,
    n_layers=4,
    n_heads=2,
    n_kv_heads=1,
    ffn_hidden_size=64,
    sliding_window=8,
    max_sequence_length=48,  # of an answer; a row of several is longer
    init_std=0.1,
)


def train(shards, reference, folder, mesh, *, hard_stop=None, **data):
    """Train into a folder; rank 0 leaves the curve in its metrics.csv."""
    module = OlmoModule(
        CONFIG,
        DirectPreference("dpo", beta=0.5, chunk_tokens=32),
        lambda groups: SkipStepAdamW(groups, lr=3e-3),
        Cosine(horizon=STEPS, warmup=1),
    )
    settings = {"sequence_length": 48, "micro_batch_tokens": 128, "seed": 1, **data}
    pairs = PairDataModule(str(shards), global_batch_pairs=8, reference=str(reference), **settings)
    options = FitOptions(
        run_dir=Path(folder),
        max_steps=STEPS,
        hard_stop=hard_stop,
        mesh=mesh,
        accelerator="cpu",
        save=SavePolicy(every_steps=None, every_minutes=None),
        progress=False,
        log_every=1,
    )
    return fit(module, pairs, options, sequence_length=48)


def main(shards, reference, folder, cases):
    """Run the cases one after the other in this process."""
    for case in cases:
        name, _, shape = case.partition(":")
        train(shards, reference, Path(folder) / name, Mesh(*map(int, shape.split(","))))


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
