"""`recipe=consumer_gpu`: the tiny twin trains on a CPU; 7B is planned to fit 24 and 16 GB."""

import csv
import json

import pytest

from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.plan.command import run as plan

TEMPLATE = ["template=think_sft_32b", "sequence_length=128", "runtime.progress=false"]
OWN = ["tokenizer=folder", "tokenizer.source=s", "too_long=drop"]
WIDE = ["model.d_model=64", "model.ffn_hidden_size=64"]  # a block of NF4
TWIN = [
    *("train", "recipe=consumer_gpu", "stage=post_train", "variant=instruct", "checkpoint=whole"),
    *("model.yarn=null", "model.max_sequence_length=128", "dtype=float32", "adapter.rank=8"),
]


def asked(number):
    return {"role": "user", "content": f"the quick {number}?"}


def answered(text):
    return {"role": "assistant", "content": text}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def twin(tiny):
    """The base ``whole``, shards ``chat`` and ``pairs``; trains what its arguments say."""
    if not (tiny.home / "checkpoint" / "whole").is_dir():
        tiny("train", "shards=s", *tiny.settings, *WIDE, "name=whole")
        talks = [{"messages": [asked(i), answered("brown fox jumps")]} for i in range(32)]
        path = write(tiny.folder / "talks.jsonl", talks)
        tiny("tokenize", f"conversations={path}", *TEMPLATE, *OWN, "name=chat")
        sides = {"chosen": "over the lazy dog", "rejected": "again and again"}
        pairs = [
            {side: [asked(i), answered(text)] for side, text in sides.items()} for i in range(16)
        ]
        path = write(tiny.folder / "pairs.jsonl", pairs)
        tiny("tokenize", f"preferences={path}", *TEMPLATE, *OWN, "name=pairs")
    kept = "model.", "runtime.progress", "runtime.accelerator", "log_every"
    settings = [s for s in tiny.settings if s.startswith(kept)]

    def train(name, *arguments):
        tiny(*TWIN, *settings, *WIDE, *arguments, f"name={name}")
        with (tiny.home / "checkpoint" / name / "metrics.csv").open() as file:
            return list(csv.DictReader(file))

    tiny.run = train
    return tiny


@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_fine_tuning_lowers_the_loss(twin, adapter):
    batch = ["global_batch_tokens=512", "epochs=4", "optimizer.lr=3e-2"]
    rows = twin.run(f"sft_{adapter}", "method=sft", "shards=chat", f"adapter={adapter}", *batch)
    losses = [float(row["train/CE loss"]) for row in rows]
    assert losses[-1] < losses[0] - 0.3
    made = twin("merge", f"checkpoints=[sft_{adapter}]", f"name=sft_{adapter}_plain")
    assert made["merged"] == ["whole@4", f"sft_{adapter}@{len(rows)}"]


def test_preferences_are_measured_by_the_base_without_its_adapters(twin):
    batch = ["global_batch_pairs=4", "epochs=2", "optimizer.lr=1e-2", "adapter=qlora"]
    rows = twin.run("dpo", "method=dpo", "shards=pairs", *batch)
    # Nothing has been learnt before the first step: the 4-bit base is its own reference.
    assert float(rows[0]["train/reward margin"]) == 0
    assert float(rows[0]["train/preference loss"]) == pytest.approx(0.693147, abs=1e-5)
    assert float(rows[-1]["train/reward margin"]) > 0.1
    assert not (twin.home / "logprobs").exists()


@pytest.mark.parametrize(
    ("hardware", "adapter"), [("rtx4090", "lora"), ("rtx4080", "qlora")], ids=["24 GB", "16 GB"]
)
def test_7b_fits(tmp_path, monkeypatch, hardware, adapter):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path))
    overrides = ["model=olmo3_7b", "stage=post_train", "variant=instruct", "recipe=consumer_gpu"]
    overrides += ["method=sft", f"adapter={adapter}", f"hardware={hardware}"]
    result = plan(plain_config(compose("plan", overrides)), overrides)
    assert result["fits"]
    base = {"lora": 2, "qlora": 4.25 / 8}[adapter] * (7_298_617_344 - 2 * 100_352 * 4096)
    rest = 2 * 2 * 100_352 * 4096 + 4 * result["trained_parameters"]
    assert result["memory_gib"]["parameters"] * 2**30 == pytest.approx(base + rest, rel=1e-3)
    # What is trained is under a hundredth of the model.
    assert result["trained_parameters"] == 32 * 16 * (4 * (4096 + 4096) + 3 * (4096 + 11_008))


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("variant", ["think", "instruct"])
def test_the_recipe_composes_for_every_variant_and_method(method, variant):
    chosen = ["model=olmo3_7b", "stage=post_train", f"method={method}", f"variant={variant}"]
    config = plain_config(compose("train", [*chosen, "recipe=consumer_gpu"]))
    assert config["adapter"]["name"] == "lora"
    assert config["optimizer"]["_target_"] == "olmoflow.train.AdamW8bit"
    assert config["runtime"]["activation_checkpointing"]["mode"] == "full"
    tokens = {"sft": config["sequence_length"], "dpo": config["runtime"]["micro_batch_tokens"]}
    assert tokens[method] == 8192
    assert (config["global_batch_pairs"] is None) == (method == "sft")


def test_the_recipe_is_one_of_post_training(tiny):
    error = tiny("train", "shards=s", "recipe=consumer_gpu", status=2)
    assert "none: this recipe expects one of sft, dpo" in error
