"""A run's length in epochs: the number of its steps is known from the shards before it starts."""

import json

import numpy as np
import pytest

from olmoflow.artifact import claim
from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.config.budget import check_one_budget
from olmoflow.commands.main import main
from olmoflow.errors import UserError
from olmoflow.tokens import Source, TokenDataModule
from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.shards import write_shards

SFT = ["stage=post_train", "variant=think", "method=sft"]


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """An artifact with documents of 3 to 40 words, named ``talks``."""
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    words = np.random.default_rng(0).choice(["one", "two", "three", "four"], (30, 40))
    texts = [" ".join(row[: 3 + number]) for number, row in enumerate(words)]
    rows = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "documents.jsonl").write_text("\n".join(rows) + "\n")
    with claim("shards", command="tokenize", config={}, name="talks") as work:
        train_bpe(texts, 272).save(work.path / "tokenizer")
        write_shards(
            tmp_path / "documents.jsonl",
            work.path / "tokenizer",
            work.path / "train",
            num_workers=1,
        )
        work.finish({})
    return work.path


def config(*chosen):
    return plain_config(compose("train", [*chosen, "max_tokens=null"]))


@pytest.mark.parametrize("packing", ["best_fit", "concatenate"])
def test_two_epochs_see_every_sequence_twice(shards, packing):
    sizes = ["sequence_length=64", "global_batch_tokens=128", f"stage.packing={packing}"]
    found = config(*SFT, "shards=talks", "epochs=2", *sizes)
    data = TokenDataModule(
        [Source(str(shards / "train"), max_repetition=10.0)],
        sequence_length=64,
        global_batch_tokens=128,
        micro_batch_sequences=1,
        seed=0,
        packing=packing,
    )
    sequences = data.mixture.sizes[0].windows
    assert sequences > 4
    assert found["max_steps"] == -(-2 * sequences // 2)
    assert found["schedule"]["horizon"] == found["data"]["max_steps"] == found["max_steps"]
    assert found["warmup"] == max(1, round(0.03 * found["max_steps"]))
    _, windows = data.mixture.locate(0, 2 * sequences)
    assert np.bincount(windows).tolist() == [2] * sequences
    half = config(*SFT, "shards=talks", "epochs=0.5", *sizes)["max_steps"]
    assert half == -(-sequences // 4)


def test_an_epoch_of_pairs_is_half_the_documents(shards):
    chosen = ["stage=post_train", "variant=think", "method=dpo", "shards=talks"]
    found = config(*chosen, "epochs=3", "global_batch_pairs=4")
    assert found["max_steps"] == -(-3 * 15 // 4)


def test_without_the_shards_the_stated_size_counts_and_else_they_are_asked_for():
    assert config(*SFT, "shards=absent", "epoch_tokens=40960")["max_steps"] == 20
    with pytest.raises(UserError, match=r"^epochs=2: .*shards=NAME, or epoch_tokens=… for a plan"):
        config(*SFT, "epoch_tokens=null")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (["epochs=2"], r"^epochs=2, max_tokens=1200000.0: expected one of both"),
        (["max_tokens=null"], r"^epochs=None, max_tokens=None: expected one of both"),
        (["max_tokens=null", "epochs=0"], r"^epochs=0: expected a positive number"),
        (["max_tokens=null", "epochs=true"], r"^epochs=True: expected a positive number"),
        (["max_tokens=null", "epochs=1", "mixture=m"], r"^epochs: a mixture .* give max_tokens"),
    ],
)
def test_one_budget_and_a_sensible_one(chosen, message):
    with pytest.raises(UserError, match=message):
        plain_config(compose("train", chosen))


@pytest.mark.parametrize("command", ["train", "plan"])
@pytest.mark.parametrize("other", [["max_tokens=1e6"], ["epochs=2", "max_tokens=null"]])
def test_steps_beside_another_budget_are_an_error_that_names_both(command, other, capfd):
    given = [command, "max_steps=7", *other]
    given += ["hardware=h100x8"] if command == "plan" else []
    assert main(given) == 2
    assert f"max_steps=7, {other[0]}: expected one of both; to stop" in capfd.readouterr().err


def test_steps_alone_take_the_place_of_the_recipes_budget():
    check_one_budget(["max_steps=7", "max_tokens=null", "+epochs=null"])
    assert plain_config(compose("train", ["max_steps=7"]))["schedule"]["horizon"] == 7
