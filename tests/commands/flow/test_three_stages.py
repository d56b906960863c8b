"""The three base stages in a row, by the twins in ``experiments/olmo3_tiny``, by command line."""

import csv
import json

import pytest
import torch
import yaml

from olmoflow.commands.main import main
from olmoflow.model.checkpoint import list_steps
from olmoflow.model.checkpoint.read import iter_entries

TEXT = "the quick brown fox jumps over the lazy dog, again and again; "
SAVED = ["shards=s", "save.every_steps=1", "save.every_minutes=null"]
SHORT = ["sequence_length=32", "model.max_sequence_length=32"]
LONG = ["sequence_length=64", "model.max_sequence_length=64", "model.yarn.original_max_position=32"]
RATE = 1e-4  # so small that one step leaves the weights where the stage before left them
STAGES = {
    "pretrain": ["max_tokens=1536", "warmup=2", *SHORT],
    "midtrain": ["max_tokens=1024", f"optimizer.lr={RATE}", "checkpoint=pretrain", *SHORT],
    "long_context": [
        "max_tokens=1024", f"optimizer.lr={RATE}", "warmup=2", "checkpoint=midtrain", *LONG,
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_settings):
    """The run folder of each stage."""
    home = tmp_path_factory.mktemp("stages")
    settings = [each for each in tiny_settings if not each.startswith("warmup")]  # the stage's own
    rows = [json.dumps({"text": f"{n}. {TEXT * (n % 5 + 1)}"}) for n in range(80)]
    (home / "text.jsonl").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(home / "artifacts"))
        corpus = f"corpus={home / 'text.jsonl'}"
        assert main(["tokenize", corpus, "tokenizer.vocab_size=320", "name=s"]) == 0
        for stage, overrides in STAGES.items():
            chosen = [f"experiments=olmo3_tiny/{stage}", f"name={stage}", *SAVED]
            assert main(["train", *chosen, *settings, *overrides]) == 0
        return {stage: home / "artifacts" / "checkpoint" / stage for stage in STAGES}


def moments(checkpoint, name):
    found = dict(
        iter_entries(
            [f"optimizer.state.lm_head.weight.{name}"],
            checkpoint._reader(),
        )
    )
    return next(iter(found.values()))


@pytest.mark.parametrize(
    ("before", "after", "steps"), [("pretrain", "midtrain", 6), ("midtrain", "long_context", 10)]
)
def test_a_stage_goes_on_with_weights_and_moments_but_its_own_steps(runs, before, after, steps):
    last, first = list_steps(runs[before])[-1], list_steps(runs[after])[0]
    assert first.step == 1
    weights, found = dict(last.iter_tensors()), dict(first.iter_tensors())
    change = max((found[name] - weights[name]).abs().max() for name in weights)
    assert 0 < change < 10 * RATE
    # Adam counts on, and what it remembers decays by beta2 at most.
    assert int(moments(first, "step")) == steps + 1
    second = moments(last, "exp_avg_sq")
    assert second.max() > 0
    assert torch.all(moments(first, "exp_avg_sq") >= 0.99 * second * (1 - 1e-5))


def rates(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["optim/LR (group 0)"]) for row in csv.DictReader(file)]


def test_the_learning_rate_is_that_of_each_stage(runs):
    assert rates(runs["pretrain"])[:2] == pytest.approx([4e-3, 8e-3])
    assert rates(runs["midtrain"]) == pytest.approx([RATE, 0.75 * RATE, 0.5 * RATE, 0.25 * RATE])
    assert rates(runs["long_context"]) == pytest.approx([0.5 * RATE, RATE, RATE, 0.5 * RATE])


def test_long_context_stretches_positions_and_packs_documents(runs):
    shapes = {stage: list_steps(run)[-1].config for stage, run in runs.items()}
    assert shapes["pretrain"].yarn is shapes["midtrain"].yarn is None
    yarn = shapes["long_context"].yarn
    assert (yarn.factor, yarn.original_max_position) == (4.0, 32)
    assert shapes["long_context"].max_sequence_length == 64
    data = yaml.safe_load((runs["long_context"] / "config.yaml").read_text())["data"]
    assert (data["packing"], data["document_mask"]) == ("best_fit", True)
    # Only packed sequences have room that is no target: a document's end or padding.
    with (runs["long_context"] / "metrics.csv").open(newline="") as file:
        assert min(float(row["train/masked labels (%)"]) for row in csv.DictReader(file)) > 0


def test_the_lineage_names_every_stage(runs):
    inputs = json.loads((runs["long_context"] / "provenance.json").read_text())["inputs"]
    assert [i["name"] for i in inputs] == ["s", "midtrain"]
    assert inputs[1]["step"] == 4
