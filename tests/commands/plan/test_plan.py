"""``olmoflow plan``: the contract, advice that holds, the user's mistakes."""

import pytest

from olmoflow.artifact import artifacts
from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.plan.command import job_of, report, run
from olmoflow.errors import UserError

SMALL = [
    *("model=olmo3_60m", "recipe=olmo3_190m/pretrain", "runtime.micro_batch_sequences=1"),
    *("model.n_layers=4", "sequence_length=1024", "global_batch_tokens=65536"),
]


def plan(*overrides):
    return run(plain_config(compose("plan", [*SMALL, *overrides])), list(overrides))


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path))


def test_the_contract(capsys):
    result = plan("nodes=2", "max_tokens=65536000", "name=small")
    memory = result["memory_gib"]
    parts = ("parameters", "gradients", "optimizer", "activations", "other")
    assert set(memory) == {*parts, "peak"}
    assert memory["peak"] == pytest.approx(sum(memory[part] for part in parts))
    per_gpu = result["tokens_per_second_per_gpu"]
    assert result["step_seconds"] == pytest.approx(65_536 / per_gpu / 16)
    assert result["gpu_hours"] == pytest.approx(result["step_seconds"] * 1000 * 16 / 3600)
    assert result["days"] == pytest.approx(result["gpu_hours"] / 16 / 24)
    assert result["dollars"] == pytest.approx(2.0 * result["gpu_hours"])
    assert result["mfu"] == pytest.approx(result["flops_per_token"] * per_gpu / 989.5e12)
    assert result["fits"] is True
    assert result["advice"] == []
    # No parallelism was chosen: sharded within the node, replicated across.
    assert (result["parallel"]["replicate"], result["parallel"]["shard"]) == (2, 8)
    assert [a.name for a in artifacts("estimate")] == ["small"]
    report(result)
    assert "fits" in capsys.readouterr().out


def test_another_mesh_is_another_estimate():
    first, second = plan("parallel=fsdp"), plan("parallel=ddp")
    assert first["estimate"] != second["estimate"]
    assert first["memory_gib"]["parameters"] == second["memory_gib"]["parameters"] / 8
    assert plan("parallel=fsdp") == first


def test_what_does_not_fit_comes_with_changes_that_do(capsys):
    small = "hardware.memory_gib=2.2", "hardware.reserved_gib=0.5"
    batch = "runtime.micro_batch_sequences=8", "compile=true"
    result = plan(*small, *batch)
    assert result["fits"] is False
    fitting = [change["overrides"] for change in result["advice"] if change["fits"]]
    assert ["runtime.micro_batch_sequences=1"] in fitting
    again = plan(*small, *batch, *fitting[0])
    assert again["fits"] is True
    report(result)
    assert "fits: runtime.micro_batch_sequences=1" in capsys.readouterr().out


POST = ["stage=post_train", "variant=think", "model=olmo3_60m", "model.n_layers=4"]


def test_post_training_is_planned_without_its_shards(capsys):
    sft = ["method=sft", "recipe=olmo3_7b/think_sft", "sequence_length=1024"]
    sft += ["global_batch_tokens=65536", "epoch_tokens=655360", "model.max_sequence_length=1024"]
    result = run(plain_config(compose("plan", [*POST, *sft])), sft)
    assert result["tokens"] == 2 * 655_360
    assert result["parallel"]["micro_batch_sequences"] == 1
    assert result["target_share"] == 1
    few = run(plain_config(compose("plan", [*POST, *sft, "target_share=0.1"])), sft)
    head = 6 * 100_352 * 384
    spared = result["flops_per_token"] - few["flops_per_token"]
    assert spared == pytest.approx(0.9 * head)
    assert few["step"]["matmul"] < result["step"]["matmul"]
    dpo = ["method=dpo", "recipe=olmo3_7b/think_dpo", "sequence_length=512"]
    dpo += ["runtime.micro_batch_tokens=2048", "epoch_pairs=1280", "model.max_sequence_length=512"]
    result = run(plain_config(compose("plan", [*POST, *dpo])), dpo)
    # Ten steps of 128 pairs, every answer as long as it may be; two pairs at a time on a GPU.
    assert result["tokens"] == 10 * 128 * 2 * 512
    assert result["parallel"]["micro_batch_sequences"] == 4
    assert result["parallel"]["micro_batches"] == 128 * 2 // (8 * 4)
    report(result)
    assert "fits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("run", "nodes", "micro_batches", "tokens"),
    [
        ("olmo3_7b/think_sft", 8, 1, 45.4e9),
        ("olmo3_7b/instruct_sft", 4, 2, 3.4e9),
        ("olmo3_32b/think_sft", 32, 4, 45.2e9),
        ("olmo3_32b/instruct_sft", 8, 16, 3.41e9),
        ("olmo3_7b/think_dpo", 4, 4, 4.92e9),
        ("olmo3_32b/think_dpo", 16, 1, 3.28e9),
        ("olmo3_32b/instruct_dpo", 8, 2, 4.26e9),
    ],
)
def test_released_runs_of_post_training_are_jobs(run, nodes, micro_batches, tokens):
    job = job_of(plain_config(compose("plan", [f"experiments={run}", f"nodes={nodes}"])))
    assert job.nodes == nodes
    assert job.micro_batches == micro_batches
    assert job.max_tokens == pytest.approx(tokens, rel=2e-3)


def test_calibration_is_printed(capsys):
    result = plan("calibrate=true")
    assert result["calibration"][0]["name"] == "7B pretrain"
    report(result)
    assert "32B long context" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["hardware=h100"], "hardware=h100: .*expected one of a100x8, .*h100x8, .*rtx4090"),
        (["parallel=hsdp", "parallel.shard=3"], "parallel.ranks=8: expected a multiple of shard"),
        (["nodes=3"], "global_batch_tokens=65536: expected a multiple of .* = 24 × 1 × 1024"),
        (["target_share=0"], "target_share=0: expected a number above 0, at most 1, or null"),
        (["shards=mistyped"], "shards=mistyped: no such path"),
        (["shards=mistyped", "target_share=0.5"], "shards=mistyped: no such path"),
        (
            ["shards=mistyped", "epochs=2", "max_tokens=null"],
            "shards=mistyped: no such path",
        ),
        (["parallel=fsdp", "parallel.ranks=4"], "nodes=1: 8 .*, and parallel.ranks=4; expected as"),
        (["parallel=fsdp", "parallel.ranks=16"], "nodes=1: .*parallel.ranks=16; expected nodes=2"),
        (["nodes=0"], "nodes=0: expected a positive whole number"),
        (["dtype=float32"], "dtype=float32: expected bfloat16"),
        (["method=sft"], "method=sft: stage=pretrain .*write stage=post_train"),
    ],
)
def test_mistakes(overrides, line):
    with pytest.raises(UserError, match=line):
        plan(*overrides)
