"""`olmoflow tokenize conversations=…`: rows to shards that train, and what it says of mistakes."""

import json

import pytest

from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.tokenizer import load_tokenizer


def turns(number):
    yield {"role": "user", "content": f"the quick brown fox jumps {number}?"}
    yield {"role": "assistant", "content": f"over the lazy dog, {number} times"}


CHOSEN = ["template=think_sft_32b", "sequence_length=512", "runtime.progress=false"]
OWN = ["tokenizer=folder", "tokenizer.source=s"]


@pytest.fixture
def rows(tiny):
    path = tiny.folder / "rows.jsonl"
    kept = [{"id": f"c{i}", "messages": [*turns(i), *turns(-i)]} for i in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return path


def test_conversations_become_shards_that_a_model_learns_from(tiny, rows):
    arguments = ["tokenize", f"conversations={rows}", *CHOSEN, *OWN, "name=chat"]
    made = tiny(*arguments)
    assert (made["content"], made["template"], made["conversations"]) == (
        "conversations",
        "think_sft_32b",
        40,
    )
    split = made["splits"]["train"]
    assert 0 < split["target_tokens"] < split["tokens"] == made["tokens"]
    assert split["malformed"] == split["underivable"] == split["too_long"] == {}
    folder = tiny.home / "shards" / "chat"
    shards = TokenShards.open(folder / "train")
    shards.verify_all()
    assert len(shards.targets) == made["target_tokens"]
    assert tiny(*arguments) == made
    # What says nothing about rows makes no other shards.
    assert tiny(*arguments, "max_error_rate=0.5", "seed=3", "max_bytes=1e9") == made
    pinned = json.loads((folder / "provenance.json").read_text())["config"]
    assert not {"mix", "base_url", "corpus", "preferences"} & set(pinned)
    assert (pinned["too_long"], pinned["sequence_length"]) == (None, 512)
    # Whoever speaks with what was trained on them finds the template.
    template = load_tokenizer(folder / "tokenizer").config["chat_template"]
    assert "Olmo 3 Think 32B" in template
    settings = [s for s in tiny.settings if not s.startswith("sequence_length")]
    packed = ["data.packing=best_fit", "data.document_mask=true", "sequence_length=128"]
    # Labels that are not learnt are no part of the loss.
    batch = ["global_batch_tokens=512", "model.max_sequence_length=128"]
    trained = tiny("train", "shards=chat", *settings, *packed, *batch, "name=chatted")
    metrics = (tiny.home / "checkpoint" / "chatted" / "metrics.csv").read_text().splitlines()
    row = dict(zip(metrics[0].split(","), metrics[1].split(","), strict=True))
    assert float(row["train/masked labels (%)"]) > 50
    assert trained["final"]["train/CE loss"] > 0
    kept = load_tokenizer(tiny.home / "checkpoint" / "chatted" / "tokenizer")
    assert kept.config["chat_template"] == template
    answer = tiny("generate", "checkpoint=chatted", "prompt=fox?", "chat=true", "max_new_tokens=1")
    asked = kept.decode(answer["prompt_ids"])
    assert asked.endswith("<|im_start|>user\nfox?<|im_end|>\n<|im_start|>assistant\n")
    tiny("export", "checkpoint=chatted", f"target={tiny.folder / 'hf'}")
    assert (tiny.folder / "hf" / "chat_template.jinja").read_text() == template
    generation = json.loads((tiny.folder / "hf" / "generation_config.json").read_text())
    ends = [kept.special_id(token) for token in ("<|im_end|>", "<|endoftext|>")]
    assert generation["eos_token_id"] == ends


def test_rows_that_are_set_apart_are_told(tiny, rows):
    bad = {"messages": [{"role": "judge", "content": "x"}]}
    long = {"id": "long", "messages": [*turns(1), *turns("x " * 600)]}
    rows.write_text(rows.read_text() + f"{json.dumps(bad)}\n{json.dumps(long)}\n")
    arguments = ["tokenize", f"conversations={rows}", *CHOSEN, *OWN, "name=mixed"]
    allowed = [*arguments, "max_error_rate=0.1"]
    assert "rows.jsonl:42: a conversation of " in tiny(*allowed, status=2)
    assert "rows.jsonl:41: messages[0]: role 'judge', expected one of system, user," in tiny(
        *arguments, "too_long=drop", status=2
    )
    split = tiny(*allowed, "too_long=drop")["splits"]["train"]
    assert split["too_long"] == {"dropped": 1}
    reason = "messages[#]: role 'judge', expected one of system, user, assistant, environment"
    assert split["malformed"] == {reason: 1}
    folder = tiny.home / "shards" / "mixed" / "train"
    assert json.loads((folder / "errors.jsonl").read_text())["line"] == 41
    assert json.loads((folder / "too_long.jsonl").read_text())["id"] == "long"


def test_the_splits_of_a_corpus_stay_apart(tiny, rows):
    for split in ("train", "heldout"):
        (tiny.folder / "both" / split).mkdir(parents=True)
        (tiny.folder / "both" / split / "a.jsonl").write_text(rows.read_text())
    made = tiny("tokenize", f"conversations={tiny.folder / 'both'}", *CHOSEN, *OWN)
    assert [split["conversations"] for split in made["splits"].values()] == [40, 40]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*OWN, "template=null"], "template: missing; expected one of instruct, "),
        ([*OWN, "template=olmo123"], "template=olmo123: expected one of instruct, "),
        ([*OWN, "template=rl_zero_math"], "rl_zero_math: marks no turns of an assistant"),
        ([*OWN, "sequence_length=null"], "sequence_length=None: expected the tokens of a sequence"),
        ([*OWN, "too_long=cut"], "too_long=cut: expected one of null, truncate, drop, split"),
        ([*OWN, "learn=first"], "learn=first: expected one of all, last"),
        ([*OWN, "corpus=c"], "corpus and conversations are both given; expected one of them"),
        (["tokenizer=bpe_8k"], "tokenizer: a new one fits no model; give that of the model"),
        (["conversations=nowhere", *OWN], "conversations=nowhere: "),
    ],
)
def test_mistakes_are_one_line(tiny, rows, arguments, message):
    error = tiny("tokenize", f"conversations={rows}", *CHOSEN, *arguments, status=2)
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_dataset_of_the_hub_is_read_from_its_cache(tiny, rows, monkeypatch, tmp_path):
    import huggingface_hub
    import huggingface_hub.constants as constants

    snapshot = tmp_path / "snapshot"
    (snapshot / "data").mkdir(parents=True)
    (snapshot / "data" / "train.jsonl").write_text(rows.read_text())
    (snapshot / "README.md").write_text("no conversations")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(snapshot))
    made = tiny("tokenize", "conversations=hf:somebody/chats@main", *CHOSEN, *OWN)
    assert made["conversations"] == 40
    assert not (tiny.home / "shards" / made["shards"] / ".download").exists()
