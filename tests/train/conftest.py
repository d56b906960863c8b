"""Shards of real text and a small model, for runs of a few steps."""

import argparse
import inspect
import json
import textwrap
from types import SimpleNamespace

import pytest

from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.shards import write_shards

VOCAB = 512


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """A folder like ``olmoflow tokenize`` leaves: ``train/`` and ``tokenizer/``, 512 tokens."""
    folder = tmp_path_factory.mktemp("shards")
    texts = [inspect.getsource(module) for module in (textwrap, inspect, json, argparse)]
    rows = [json.dumps({"text": text}) for text in texts]
    (folder / "documents.jsonl").write_text("\n".join(rows) + "\n")
    train_bpe(texts, VOCAB).save(folder / "tokenizer")
    write_shards(folder / "documents.jsonl", folder / "tokenizer", folder / "train", num_workers=1)
    return folder


@pytest.fixture
def experiment(shards, tmp_path):
    """Builds module and data of a small run and trains it; every argument has a default."""
    from olmoflow.model import Olmo3Config
    from olmoflow.tokens import Source, TokenDataModule
    from olmoflow.train.fit import FitOptions, fit
    from olmoflow.train.module import OlmoModule
    from olmoflow.train.objectives import NextTokenPrediction
    from olmoflow.train.optimizer import SkipStepAdamW
    from olmoflow.train.save_policy import SavePolicy
    from olmoflow.train.schedules import Cosine

    def adamw(groups):
        return SkipStepAdamW(groups, lr=3e-3)

    def run(
        name="run",
        *,
        max_steps=4,
        micro=4,
        save=None,
        config=None,
        objective=None,
        optimizer=adamw,
        max_grad_norm=1.0,
        module_options=None,
        **options,
    ):
        config = config or {}
        shape = {"d_model": 32, "n_layers": 4, "n_heads": 2, "n_kv_heads": 1}
        shape |= {"ffn_hidden_size": 64, "sliding_window": 16, "max_sequence_length": 64}
        module = OlmoModule(
            Olmo3Config(**{"vocab_size": VOCAB, **shape, **config}),
            objective or NextTokenPrediction(chunk_tokens=48),
            optimizer,
            Cosine(horizon=20, warmup=3),
            max_grad_norm=max_grad_norm,
            **(module_options or {}),
        )
        data = TokenDataModule(
            [Source(str(shards / "train"), max_repetition=100.0)],
            sequence_length=32,
            global_batch_tokens=256,
            micro_batch_sequences=micro,
            seed=1,
            max_steps=max_steps,
        )
        run_dir = tmp_path / name
        settings = FitOptions(
            run_dir=run_dir,
            max_steps=max_steps,
            accelerator="cpu",
            save=save or SavePolicy(every_steps=None, every_minutes=None),
            progress=False,
            **{"log_every": 1, **options},
        )
        result = fit(module, data, settings, sequence_length=32)
        return SimpleNamespace(module=module, result=result, run_dir=run_dir)

    return run
