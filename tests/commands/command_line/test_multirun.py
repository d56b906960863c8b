"""A sweep of training over every way of sharing the work, with one cell that fails."""

import json

import pytest
import yaml

PARALLEL = {
    "single": {},
    "broken": {"ranks": 0},
    "ddp": {"ranks": 2},
    "fsdp": {"ranks": 2},
    "hsdp": {"ranks": 2, "shard": 2},
}


@pytest.mark.distributed
def test_every_parallel_choice_runs_in_a_sweep_and_a_failing_cell_takes_none_with_it(
    tiny, tmp_path, monkeypatch
):
    folder = tmp_path / "experiments"
    folder.mkdir()
    for seed, (name, parallel) in enumerate(PARALLEL.items()):
        choice = "ddp" if name == "broken" else name
        # How the work is shared is no part of the key; the seed keeps the cells apart.
        node = {"defaults": [{"override /parallel": choice}], "init_seed": 40 + seed}
        text = yaml.safe_dump({**node, "parallel": parallel} if parallel else node)
        (folder / f"{name}.yaml").write_text(f"# @package _global_\n{text}")
    monkeypatch.setenv("OLMOFLOW_CONFIG", str(tmp_path))
    done = tiny(
        *["train", "-m", "shards=s", *tiny.settings, "max_tokens=512"],
        f"experiments={','.join(PARALLEL)}",
        status=2,
    )
    status = {job["overrides"][-2].split("=")[1]: job["status"] for job in done["jobs"]}
    assert status == {
        "single": "finished",
        "broken": "failed",
        "ddp": "finished",
        "fsdp": "finished",
        "hsdp": "finished",
    }
    assert "parallel.ranks=0: expected a positive whole number" in done["jobs"][1]["error"]
    assert {job["result"]["steps"] for job in done["jobs"] if "result" in job} == {2}
    record = json.loads((tiny.home / "multirun" / f"{done['group']}.json").read_text())
    assert [job["status"] for job in record["jobs"]] == [job["status"] for job in done["jobs"]]
