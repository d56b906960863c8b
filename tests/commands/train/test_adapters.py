"""Adapters from end to end: train beside a checkpoint, resume, merge, use the plain model."""

import pytest

WIDE = ["model.d_model=64", "model.ffn_hidden_size=64"]  # a block of NF4


@pytest.fixture
def commands(tiny):
    """A base ``whole``, and the arguments of a run of adapters beside it."""
    train = ["train", "shards=s", *tiny.settings, *WIDE]
    if not (tiny.home / "checkpoint" / "whole").is_dir():
        tiny(*train, "name=whole")
    tiny.train = [*train, "checkpoint=whole"]
    return tiny


@pytest.mark.parametrize("adapter", ["lora", "qlora"])
def test_adapters_are_trained_merged_and_exported(commands, adapter):
    made = commands(*commands.train, f"adapter={adapter}", f"name={adapter}")
    assert made["steps"] == 4
    error = commands("export", f"checkpoint={adapter}", f"target={commands.folder}/x", status=2)
    assert "holds adapters only" in error
    assert f"olmoflow merge checkpoints=[{adapter}]" in error
    merged = commands("merge", f"checkpoints=[{adapter}]", f"name={adapter}_plain")
    assert merged["merged"] == ["whole@4", f"{adapter}@4"]
    found = commands(
        *["generate", f"checkpoint={adapter}_plain", "prompt_ids=[5,6,7]", "max_new_tokens=3"],
        *["temperature=0", "runtime.accelerator=cpu"],
    )
    assert len(found["token_ids"]) == 3
    target = commands.folder / f"{adapter}_hf"
    commands("export", f"checkpoint={adapter}_plain", f"target={target}")
    assert (target / "model.safetensors").is_file()


def test_the_optimizer_with_8_bit_moments_is_a_choice(commands):
    made = commands(*commands.train, "adapter=lora", "optimizer=adamw_8bit", "name=eight")
    assert made["steps"] == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["checkpoint=null"], "adapter=lora: stands beside a trained model; give checkpoint=NAME"),
        (["parallel=ddp", "parallel.ranks=2"], "adapter=lora: 2 ranks found; expected one"),
        (["carry_optimizer=true"], "carry_optimizer=true: adapters begin anew"),
        (["adapter.rank=0"], "adapter.rank=0: expected a positive whole number"),
        (["adapter.ranks=2"], "adapter.ranks: no such key in olmoflow train; did you mean"),
        (["adapter.base=int8"], "adapter.base='int8'"),
    ],
)
def test_mistakes_are_named(commands, overrides, message):
    assert message in commands(*commands.train, "adapter=lora", *overrides, status=2)


def test_one_whole_model_is_nothing_to_merge(commands):
    error = commands("merge", "checkpoints=[whole]", status=2)
    assert "checkpoints=[whole]: holds a whole model" in error


def test_adapters_whose_base_is_gone_are_told(commands):
    commands(*commands.train, "adapter=lora", "init_seed=9", "name=orphan")
    step = commands.home / "checkpoint" / "whole" / "steps" / "step-00000004"
    step.rename(step.with_name("away"))
    try:
        error = commands("merge", "checkpoints=[orphan]", "name=no", status=2)
    finally:
        step.with_name("away").rename(step)
    assert "its adapters stand beside whole@4" in error
