"""SFT by stage, variant and method: epochs, a soup of two learning rates, and who is let in."""

import csv
import json

import pytest
import torch

from olmoflow.model.checkpoint import list_steps
from olmoflow.tokens import Source, TokenDataModule

GIVEN = ("max_tokens", "global_batch_tokens", "sequence_length", "warmup", "model.max_sequence")
SIZES = ["sequence_length=128", "global_batch_tokens=512", "model.max_sequence_length=128"]
SFT = ["stage=post_train", "variant=think", "method=sft", "checkpoint=base", "dtype=float32"]


@pytest.fixture
def spoken(tiny):
    """A trained ``base`` and conversations ``talk``; settings that leave the recipe its budget."""
    tiny.settings = [s for s in tiny.settings if not s.startswith(GIVEN)]
    if (tiny.home / "shards" / "talk").is_dir():
        return tiny
    rows = [{"messages": list(turns(number))} for number in range(60)]
    path = tiny.folder / "talk.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = ["tokenizer=folder", "tokenizer.source=s", "template=think_sft_32b"]
    long = ["sequence_length=128", "too_long=drop", "runtime.progress=false"]
    tiny("tokenize", f"conversations={path}", *own, *long, "name=talk")
    base = ["sequence_length=128", "global_batch_tokens=512", "model.max_sequence_length=128"]
    tiny("train", "shards=s", *tiny.settings, *base, "max_tokens=2048", "warmup=1", "name=base")
    return tiny


def turns(number):
    yield {"role": "system", "content": "Be brief."}
    yield {"role": "user", "content": f"the quick brown fox jumps {number}?"}
    yield {"role": "assistant", "content": f"over the lazy dog, {number} times"}


def weights(tiny, name):
    return dict(list_steps(tiny.home / "checkpoint" / name)[-1].iter_tensors())


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_two_runs_of_sft_for_two_epochs_and_their_soup(spoken):
    run = ["train", "shards=talk", *SFT, *spoken.settings, *SIZES]
    one = spoken(*run, "optimizer.lr=1e-3", "name=fast")
    spoken(*run, "optimizer.lr=5e-4", "name=slow")
    data = TokenDataModule(
        [Source(str(spoken.home / "shards" / "talk" / "train"))],
        sequence_length=128,
        global_batch_tokens=512,
        micro_batch_sequences=4,
        seed=0,
        packing="best_fit",
    )
    sequences = data.mixture.sizes[0].windows
    assert one["steps"] == -(-2 * sequences // 4)
    curve = rows(spoken.home / "checkpoint" / "fast" / "metrics.csv")
    assert float(curve[-1]["train/CE loss"]) < float(curve[0]["train/CE loss"])
    assert float(curve[-1]["optim/LR (group 0)"]) < 1e-3
    assert float(curve[0]["train/masked labels (%)"]) > 50
    made = spoken("merge", "checkpoints=[fast,slow]", "name=soup")
    assert made["shares"] == [0.5, 0.5]
    soup, fast, slow = (weights(spoken, name) for name in ("soup", "fast", "slow"))
    for name, found in soup.items():
        assert torch.equal(found, ((fast[name].double() + slow[name].double()) / 2).float())
    kept = spoken.home / "checkpoint" / "soup" / "tokenizer" / "tokenizer_config.json"
    assert "chat_template" in kept.read_text() or kept.with_name("chat_template.jinja").is_file()


def test_a_plan_reads_in_the_shards_how_much_is_learnt(spoken):
    plan = ["plan", "shards=talk", *SFT, "dtype=bfloat16", "model.n_layers=4", "nodes=1"]
    shape = [each for each in spoken.settings if each.startswith(("model.", "recipe"))]
    found = spoken(*plan, *shape, *SIZES, "global_batch_tokens=4096", "epochs=1")
    (shards,) = [
        each for each in spoken("list", "kind=shards")["artifacts"] if each["name"] == "talk"
    ]
    figures = shards["figures"]["splits"]["train"]
    assert found["target_share"] == figures["target_tokens"] / figures["tokens"] < 0.5


def test_on_one_rank_both_means_are_the_same_and_different_runs(spoken):
    run = ["train", "shards=talk", *SFT, *spoken.settings, *SIZES, "epochs=0.2"]
    one = spoken(*run, "name=global")
    other = spoken(*run, "normalisation=per_rank", "name=per-rank")
    assert one["checkpoint"] != other["checkpoint"]
    assert one["final"]["train/CE loss"] == other["final"]["train/CE loss"]
    for name, found in weights(spoken, "global").items():
        assert torch.equal(found, weights(spoken, "per-rank")[name])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shards=s"], "shards=s: holds documents; method=sft expects conversations"),
        (["shards=absent"], "shards=absent: "),
        (
            ["shards=talk", "sequence_length=16", "global_batch_tokens=512"],
            "sequence_length=16: shards=talk was made for 128 and holds documents of up to ",
        ),
        (["shards=talk", "checkpoint=null"], "checkpoint: missing; stage=post_train starts from"),
        (["shards=talk", "normalisation=rank"], "normalisation=rank: expected global or per_rank"),
        (["shards=talk", "stage=pretrain"], "method=sft: stage=pretrain trains the base model; "),
        (["shards=talk", "max_tokens=1e4"], "epochs=2, max_tokens=10000.0: expected one of both"),
    ],
)
def test_mistakes(spoken, arguments, message):
    given = {each.partition("=")[0] for each in arguments}
    chosen = [each for each in SFT if each.partition("=")[0] not in given]
    error = spoken("train", *chosen, *spoken.settings, *SIZES, *arguments, status=2)
    assert len(error.splitlines()) == 1
    assert message in error


def test_shards_in_another_vocabulary_are_refused(spoken):
    text = spoken.folder / "other.jsonl"
    text.write_text(json.dumps({"text": "wholly other words, quite apart; " * 50}) + "\n")
    spoken("tokenize", f"corpus={text}", "tokenizer.vocab_size=290", "name=other")
    path = spoken.folder / "talk.jsonl"
    own = ["tokenizer=folder", "tokenizer.source=other", "template=plain", "sequence_length=128"]
    spoken("tokenize", f"conversations={path}", *own, "too_long=drop", "name=foreign")
    run = ["train", "shards=foreign", *SFT, *spoken.settings, *SIZES]
    error = spoken(*run, status=2)
    assert "shards=foreign: tokenized in another vocabulary than that of checkpoint=base" in error
    assert "tokenizer.source=base" in error
    # A tokenizer trained on the new corpus is the default of `tokenize`: easily forgotten.
    base = ["train", "shards=other", "stage=midtrain", "checkpoint=base", *spoken.settings, *SIZES]
    error = spoken(*base, status=2)
    assert "shards=other: tokenized in another vocabulary than that of checkpoint=base" in error
