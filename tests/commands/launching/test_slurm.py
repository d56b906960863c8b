"""``cluster=slurm`` as far as it goes without SLURM: the script, the saved cells, the mistakes."""

import json
import shlex
import sys

import pytest
import yaml

from olmoflow.commands.launching.launch import OutOfTime
from olmoflow.commands.launching.slurm import job
from olmoflow.commands.main import main

GENERATE = ["generate", "checkpoint=nothing", "prompt=It's ${a}, no?", "cluster=slurm"]
TRAIN = ["train", "shards=nothing", "cluster=slurm", "cluster.after=[41]", "dry_run=true"]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def script(capsys):
    def of(*arguments):
        assert main(list(arguments)) == 0
        return capsys.readouterr().out.splitlines()

    return of


def directives(lines):
    return [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]


def test_the_script_asks_for_what_the_config_says(script):
    lines = script(
        *TRAIN,
        *("parallel=hsdp", "cluster.nodes=4", "cluster.gpus_per_node=8", "cluster.memory=0"),
        *("cluster.time=2-00:00:00", "cluster.partition=gpu", "cluster.exclude=[n1,n7]"),
        *("cluster.setup=[module load cuda]", 'cluster.sbatch=["--mail-type=FAIL"]'),
    )
    asked = directives(lines)
    for expected in (
        "--nodes=4",
        "--ntasks-per-node=8",
        "--gpus-per-node=8",
        "--mem=0",
        "--time=2-00:00:00",
        "--partition=gpu",
        "--exclude=n1,n7",
        "--dependency=afterok:41",
        "--kill-on-invalid-dep=yes",
        "--signal=B:USR1@300",
        "--requeue",
        "--open-mode=append",
        "--mail-type=FAIL",
    ):
        assert expected in asked
    assert not [line for line in asked if line.startswith(("--account", "--qos", "--array"))]
    assert "module load cuda" in lines
    python, *rest = shlex.split(lines[-1].removeprefix("exec "))
    assert python == sys.executable
    assert rest[:3] == ["-P", "-m", "olmoflow.commands.launching.slurm.job"]


def test_a_sweep_is_one_array_and_cells_that_ask_for_more_are_another(script):
    lines = script(*TRAIN, "-m", "init_seed=1,2,3", "cluster.array_parallelism=2")
    assert [d for d in directives(lines) if d.startswith("--array")] == ["--array=0-2%2"]
    lines = script(*TRAIN, "-m", "model.n_layers=2,4", "cluster.time=1:00:00,9:00:00")
    assert [d for d in directives(lines) if d.startswith(("--array", "--time"))] == [
        *("--time=1:00:00", "--array=0,2"),
        *("--time=9:00:00", "--array=1,3"),
    ]


def test_in_a_container_train_stays_outside_and_starts_its_ranks_in_it(script):
    image = ["cluster.container.image=/images/torch.sqsh", "cluster.container.mounts=[/d:/d]"]
    (line,) = [x for x in script(*GENERATE, *image, "dry_run=true") if x.startswith("exec")]
    start = shlex.split(line)[1:]
    assert start[:2] == ["srun", "--ntasks=1"]
    assert "--container-image=/images/torch.sqsh" in start
    assert next(a for a in start if a.startswith("--container-mounts=")).endswith(",/d:/d")
    assert start[5:8] == ["python", "-P", "-m"]
    (line,) = [x for x in script(*TRAIN, *image) if x.startswith("exec")]
    assert shlex.split(line)[1] == sys.executable


def test_only_what_saves_is_told_of_the_time_limit(script):
    assert not [d for d in directives(script(*GENERATE, "dry_run=true")) if "signal" in d]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (GENERATE, "cluster=slurm: no sbatch on this machine; expected a SLURM login node"),
        ([*GENERATE, "cluster.nodes=2"], "cluster.ranks=2: olmoflow generate is one process"),
        (
            [*TRAIN, "cluster.tasks_per_node=2"],
            "parallel.ranks=1: the cluster's nodes and tasks come to 2; expected the same number",
        ),
        (
            ["train", "shards=nothing", "cluster=slurm"],
            "shards=nothing: no such path, and there is no shards yet",
        ),
        (["train", "shards=s", "dry_run=true"], "dry_run=true: expected cluster=slurm"),
        (["train", "cluster=slrum"], "cluster=slrum: did you mean slurm?"),
        (["train", "cluster=slurm", "cluster.partitoin=a"], "cluster.partitoin: no such key"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_written(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", "")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert captured.out == ""
    assert list(tmp_path.rglob("*")) == []


@pytest.fixture
def submitted(tmp_path, monkeypatch):
    """What `submit` leaves for a command line, with an ``sbatch`` that takes everything."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in (("sbatch", "echo 7"), ("scontrol", f'echo "$@" >> {tmp_path}/requeued')):
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")

    def of(capsys, *arguments):
        capsys.readouterr()
        assert main([*arguments, "output=json"]) == 0
        return json.loads(capsys.readouterr().out)

    return of


def test_an_unwritable_folder_is_one_line(submitted, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "file" / "artifacts"))
    assert main(GENERATE) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"olmoflow: cannot write {tmp_path}/file/artifacts/jobs/generate-")
    assert error.endswith(": Not a directory")


def test_the_job_folder_has_the_cell_as_composed_and_the_code(submitted, tmp_path, capsys):
    result = submitted(capsys, *GENERATE)
    (folder,) = (tmp_path / "artifacts" / "jobs").iterdir()
    assert result == {
        "submitted": [{"job_id": "7", "run_dir": str(folder / "cells")}],
        "job_dir": str(folder),
    }
    cell = yaml.safe_load((folder / "cells" / "0.yaml").read_text())
    assert cell["command"] == "generate"
    assert cell["config"]["prompt"] == "It's ${a}, no?"  # free text, never resolved
    for kept in (
        "code/src/olmoflow/commands/train/command.py",
        "code/conf/train.yaml",
        "code/git.json",
    ):
        assert (folder / kept).is_file()


def test_a_job_out_of_time_queues_again_but_not_for_ever(submitted, tmp_path, monkeypatch, capsys):
    submitted(capsys, *GENERATE)
    (folder,) = (tmp_path / "artifacts" / "jobs").iterdir()
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")

    def stopped_at(step):
        def run(*_):
            raise OutOfTime(step)

        monkeypatch.setattr(job, "run_composed", run)
        return job.run_cell(folder, "0")

    assert stopped_at(40) == 0
    assert stopped_at(80) == 0
    # The cell, not the whole array.
    assert (tmp_path / "requeued").read_text() == "requeue 7_2\n" * 2
    with pytest.raises(RuntimeError, match="stopped twice at step 80"):
        stopped_at(80)
