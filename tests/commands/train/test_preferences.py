"""Preferences from rows to a tuned model: `tokenize preferences=…`, `score`, `train method=dpo`."""

import csv
import json
import shutil
from itertools import pairwise

import numpy as np
import pyarrow.parquet as parquet
import pytest

from olmoflow.commands.train.reference import REFERENCE_FREE
from olmoflow.train.objectives import DirectPreference

CHOSEN = ["template=think", "sequence_length=128", "runtime.progress=false"]
OWN = ["tokenizer=folder", "tokenizer.source=s"]
DPO = [
    *("stage=post_train", "variant=think", "method=dpo", "method.objective.loss=dpo"),
    *("method.objective.beta=0.5", "sequence_length=128", "global_batch_pairs=8", "epochs=3"),
    *("max_tokens=null", "model.yarn=null", "warmup=1", "log_every=1", "dtype=float32"),
    *("optimizer.lr=3e-3", "runtime.micro_batch_tokens=512", "model.max_sequence_length=128"),
]


def row(number):
    question = {"role": "user", "content": f"the quick brown fox jumps {number}?"}
    answers = {"chosen": f"over the lazy dog, {number} times", "rejected": f"again; {number}"}
    return {
        "id": f"p{number}",
        **{
            name: [question, {"role": "assistant", "content": content}]
            for name, content in answers.items()
        },
    }


@pytest.fixture
def pairs(tiny):
    """Commands with shards ``p`` of 24 pairs and a model ``base``."""
    path = tiny.folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(24)))
    tiny.made = tiny("tokenize", f"preferences={path}", *CHOSEN, *OWN, "name=p")
    tiny("train", "shards=s", *tiny.settings, "model.max_sequence_length=128", "name=base")
    model = [each for each in tiny.settings if each.startswith(("model.", "runtime."))]
    tiny.dpo = ["train", "shards=p", "checkpoint=base", *DPO, *model]
    return tiny


def curve(tiny, name):
    with (tiny.home / "checkpoint" / name / "metrics.csv").open(newline="") as file:
        return [{k: float(v) for k, v in each.items() if v} for each in csv.DictReader(file)]


def test_preferences_become_a_model_that_prefers_what_was_chosen(pairs):
    assert (pairs.made["content"], pairs.made["pairs"]) == ("pairs", 24)
    done = pairs(*pairs.dpo, "name=tuned")
    assert done["steps"] == 9
    rows = curve(pairs, "tuned")
    margins = [each["train/reward margin"] for each in rows]
    # At first the model is its reference.
    assert rows[0]["train/preference loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert abs(margins[0]) < 1e-5
    assert all(after > before for before, after in pairwise(margins[1:]))
    assert rows[-1]["train/reward accuracy"] == 1.0
    assert "train/masked labels (%)" not in rows[0]
    assert rows[0]["train/global batch size"] == 8
    (logprobs,) = pairs("list", "kind=logprobs")["artifacts"]
    assert [each.split("@")[0] for each in logprobs["inputs"]] == ["base", "p"]
    assert logprobs["figures"]["documents"] == 48
    # The same numbers by hand, and the run takes them for its own.
    scored = pairs(
        *("score", "checkpoint=base", "shards=p", "dtype=float32", "runtime.progress=false")
    )
    assert scored["logprobs"] == logprobs["name"]
    again = pairs(*pairs.dpo, f"reference={scored['logprobs']}", "name=again")
    assert again["final"] == done["final"]
    assert (pairs.home / "checkpoint" / "again").is_symlink()


def test_losses_do_not_depend_on_the_packing(pairs):
    one = [*pairs.dpo, "hard_stop=2", "method.objective.loss=dpo_norm"]
    pairs(*one, "name=packed")
    pairs(*one, "data.packing=none", "name=single")
    for a, b in zip(curve(pairs, "packed"), curve(pairs, "single"), strict=True):
        for name in ("train/preference loss", "train/reward margin", "train/log-prob chosen"):
            assert a[name] == pytest.approx(b[name], abs=1e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("method.objective.beta=0", "method.objective.beta=0: expected a positive number"),
        ("method.objective.beta=-1", "method.objective.beta=-1: expected a positive number"),
        ("method.objective.loss=dpoo", "method.objective.loss='dpoo': input should be"),
        ("normalisation=none", "normalisation=none: expected global or per_rank"),
    ],
)
def test_a_mistake_shows_before_the_reference_is_scored(pairs, setting, message):
    before = pairs("list", "kind=logprobs")
    told = pairs(*pairs.dpo, "dtype=bfloat16", setting, status=2)
    assert message in told
    assert pairs("list", "kind=logprobs") == before
    assert not list((pairs.home / "logprobs").rglob("parts"))


def test_simpo_needs_no_reference(pairs):
    simpo = [*pairs.dpo, "method.objective.loss=simpo", "hard_stop=1"]
    before = len(pairs("list", "kind=logprobs")["artifacts"])
    pairs(*simpo, "name=simpo")
    assert len(pairs("list", "kind=logprobs")["artifacts"]) == before
    assert "reference=base: method=dpo with this loss" in pairs(*simpo, "reference=base", status=2)
    free = [loss for loss in ("dpo", "dpo_norm", "simpo", "wpo") if loss in REFERENCE_FREE]
    assert free == ["simpo"]
    assert not DirectPreference("simpo").needs_reference


def test_a_reference_of_another_model_or_other_shards_is_named(pairs):
    pairs("train", "shards=s", *pairs.settings, "model.max_sequence_length=128", "init_seed=3",
          "name=other")  # fmt: skip
    score = ["score", "shards=p", "runtime.progress=false", "dtype=float32"]
    pairs(*score, "checkpoint=other", "name=of_other")
    told = pairs(*pairs.dpo, "reference=of_other", status=2)
    assert "reference=of_other: made from checkpoint other@4" in told
    assert "this run has base@4" in told
    path = pairs.folder / "fewer.jsonl"
    path.write_text("".join(json.dumps(row(number)) + "\n" for number in range(5)))
    pairs("tokenize", f"preferences={path}", *CHOSEN, *OWN, "name=fewer")
    pairs(*score[:1], "shards=fewer", *score[2:], "checkpoint=base", "name=of_fewer")
    told = pairs(*pairs.dpo, "reference=of_fewer", status=2)
    assert "reference=of_fewer: made from shards fewer" in told
    rounded = [each.replace("float32", "bfloat16") for each in score]
    pairs(*rounded, "checkpoint=base", "name=rounded")
    told = pairs(*pairs.dpo, "reference=rounded", status=2)
    assert "reference=rounded: made with dtype=bfloat16, this run has float32" in told
    assert "expected log-probabilities" in pairs(*pairs.dpo, f"reference={path}", status=2)
    # A checkpoint by name is another reference on purpose.
    pairs(*pairs.dpo, "reference=other", "hard_stop=1", "name=held_to_other")
    assert curve(pairs, "held_to_other")[0]["train/preference loss"] != pytest.approx(np.log(2))


def test_a_document_that_was_not_scored_is_noticed(pairs):
    made = pairs(
        *("score", "checkpoint=base", "shards=p", "dtype=float32", "runtime.progress=false"),
        "name=holey",
    )
    file = pairs.home / "logprobs" / made["logprobs"] / "logprobs.parquet"
    table = parquet.read_table(file)
    values = table["logprob"].to_numpy().copy()
    values[5] = -np.inf
    parquet.write_table(table.set_column(0, table.schema.field(0), [values]), file)
    told = pairs(*pairs.dpo, f"reference={made['logprobs']}", "data_seed=9", status=2)
    assert "document 5 has no log-probability" in told


def test_shards_that_hold_no_pairs_are_named(pairs):
    told = pairs(*[a.replace("shards=p", "shards=s") for a in pairs.dpo], status=2)
    assert "holds documents; method=dpo expects pairs" in told
    told = pairs("score", "checkpoint=base", "shards=s", "runtime.progress=false", status=2)
    assert "holds plain documents; expected conversations or pairs" in told


@pytest.mark.distributed
def test_several_ranks_score_alike(pairs):
    score = ["score", "checkpoint=base", "shards=p", "dtype=float32", "runtime.progress=false"]
    found = []
    for ranks in ([], ["parallel=fsdp", "parallel.ranks=2"]):
        # The same key: what there is, which another test has spoilt, would be reused.
        shutil.rmtree(pairs.home / "logprobs", ignore_errors=True)
        made = pairs(*score, *ranks, "runtime.accelerator=cpu")
        table = parquet.read_table(pairs.home / "logprobs" / made["logprobs"] / "logprobs.parquet")
        found.append(table["logprob"].to_numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
