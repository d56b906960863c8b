"""``cluster=slurm`` on a real SLURM: submitted at once, cut, requeued, and nothing is lost."""

import csv
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from olmoflow.commands.main import main
from olmoflow.model.checkpoint import list_steps

pytestmark = pytest.mark.system
TEXT = "the quick brown fox jumps over the lazy dog, again and again; "
TWO_TASKS = "cluster.tasks_per_node=2"


@pytest.fixture(scope="module")
def folder(slurm, tmp_path_factory):
    """A working folder with documents, whose artifacts have shards ``s``."""
    folder = tmp_path_factory.mktemp("slurm")
    rows = [json.dumps({"text": f"{number}. {TEXT * 8}"}) for number in range(60)]
    (folder / "text.jsonl").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(folder / "artifacts"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.chdir(folder)
        assert main(["tokenize", "corpus=text.jsonl", "tokenizer.vocab_size=320", "name=s"]) == 0
        yield folder


@pytest.fixture(scope="module")
def small(tiny_settings):
    """A command line that trains in a job; for how long is left open."""
    settings = [each for each in tiny_settings if not each.startswith(("max_tokens", "warmup"))]
    return ["train", "shards=s", *settings, "warmup=2", "cluster=slurm", "cluster.time=10"]


@pytest.fixture
def submit(folder, capsys):
    """Runs a command line with output=json and returns what it printed."""

    def run(*arguments, status=0):
        capsys.readouterr()
        assert main([*arguments, "output=json"]) == status
        return json.loads(capsys.readouterr().out)

    return run


def log_of(submission, cell=0):
    return (Path(submission["job_dir"]) / "logs" / f"{cell}.out").read_text()


def weights(run_dir):
    last = list_steps(run_dir)[-1]
    assert last.step == 60
    return dict(last.iter_tensors())


def curve(run_dir):
    with (run_dir / "metrics.csv").open(newline="") as file:
        return [(row["step"], row["train/CE loss"]) for row in csv.DictReader(file)]


def test_a_sweep_is_one_array_that_resumes_where_cells_failed(small, submit, slurm):
    sweep = [*small, "-m", "optimizer.lr=1e-3,fast,2e-3", "max_tokens=1024"]
    first = submit(*sweep, "cluster.array_parallelism=1")
    ids = [row["job_id"] for row in first["submitted"]]
    array = ids[0].partition("_")[0]
    assert ids == [f"{array}_{cell}" for cell in range(3)]
    assert slurm.job(f"{array}_2")["JobState"] == "PENDING"
    assert slurm.job(f"{array}_2")["ArrayTaskThrottle"] == "1"
    assert [slurm.wait(each) for each in ids] == ["COMPLETED", "FAILED", "COMPLETED"], log_of(first)
    assert "optimizer.lr" in log_of(first, 1).splitlines()[-1]

    again = submit(*sweep)
    assert [cell["result"]["steps"] for cell in again["finished"]] == [4, 4]
    (rerun,) = again["submitted"]
    assert rerun["run_dir"] == first["submitted"][1]["run_dir"]
    subprocess.run(["scancel", rerun["job_id"]], check=True)


@pytest.fixture(scope="module")
def undisturbed(small, slurm, folder):
    """A 2-task HSDP job of 60 steps: its run folder."""
    arguments = [*small, "max_tokens=15360", "name=run", "parallel=hsdp", "parallel.shard=2"]
    assert main([*arguments, TWO_TASKS]) == 0
    submitted = max(folder.glob("artifacts/jobs/*/submitted.json"), key=os.path.getmtime)
    (row,) = json.loads(submitted.read_text())
    assert slurm.wait(row["job_id"]) == "COMPLETED"
    return folder / "artifacts" / "checkpoint" / "run"


def test_cut_twice_it_ends_with_the_weights_of_the_undisturbed_run(
    small, undisturbed, submit, slurm, tmp_path, monkeypatch, hold
):
    shards = undisturbed.parents[1] / "shards" / "s"
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path))
    hold(18)
    submission = submit(
        *small,
        *("max_tokens=15360", f"shards={shards}", "name=run", "parallel=fsdp", TWO_TASKS),
        *("save.every_steps=10", "logger=wandb"),
    )
    (row,) = submission["submitted"]
    run_dir = tmp_path / "checkpoint" / "run"
    assert row["run_dir"] == str(run_dir)
    cuts = [
        (8, ["scancel", "--signal=USR1", "--batch"], 35),  # as --signal=B: does at the time limit
        (25, ["scontrol", "requeue"], None),
    ]
    for restart, (rows, cut, then) in enumerate(cuts, 1):
        wait_for_rows(run_dir, rows)
        subprocess.run([*cut, row["job_id"]], check=True)
        hold(then)
        slurm.wait_for_requeue(row["job_id"], restart)
    assert slurm.wait(row["job_id"]) == "COMPLETED", log_of(submission)
    assert slurm.job(row["job_id"])["Restarts"] == "2"
    stopped = re.search(r"saved at step (\d+); queueing again", log_of(submission))
    assert 8 <= int(stopped[1]) < 60

    assert curve(run_dir) == curve(undisturbed)
    ours, expected = weights(run_dir), weights(undisturbed)
    assert len(expected) > 10
    assert ours.keys() == expected.keys()
    assert all((ours[name] == tensor).all() for name, tensor in expected.items())
    # One W&B run over all starts, and the job in the run folder and the provenance.
    run_id = (run_dir / "wandb_id.txt").read_text().strip()
    assert {f.name.rpartition("-")[2] for f in run_dir.glob("wandb/offline-run-*")} == {run_id}
    slurm = json.loads((run_dir / "provenance.json").read_text())["slurm"]
    assert (slurm["job_id"], slurm["restarts"]) == (row["job_id"], 2)
    assert slurm["log"] == f"{submission['job_dir']}/logs/0.out"


def wait_for_rows(run_dir, count, seconds=300):
    deadline, file = time.monotonic() + seconds, run_dir / "metrics.csv"
    while not file.exists() or file.read_text().count("\n") <= count:
        assert time.monotonic() < deadline, f"{run_dir} has no {count} rows yet"
        time.sleep(0.02)


def test_the_job_runs_the_code_that_was_submitted(small, submit, slurm):
    held = [*small, "max_tokens=512", "parallel=ddp", TWO_TASKS, "cluster.sbatch=[--hold]"]
    submission = submit(*held)
    package = Path(submission["job_dir"]) / "code" / "src" / "olmoflow" / "__init__.py"
    package.write_text(package.read_text() + '\n__version__ = "0.0.snapshot"\n')
    (row,) = submission["submitted"]
    subprocess.run(["scontrol", "release", row["job_id"]], check=True)
    assert slurm.wait(row["job_id"]) == "COMPLETED", log_of(submission)
    provenance = json.loads((Path(row["run_dir"]) / "provenance.json").read_text())
    assert provenance["olmoflow"] == "0.0.snapshot"
    assert provenance["git"]["commit"]


def test_any_command_is_a_job_and_may_wait_for_another(submit, slurm):
    source = ["curate", "pipeline=documents", "source=text.jsonl", "name=c", "cluster=slurm"]
    (corpus,) = submit(*source, "cluster.sbatch=[--hold]")["submitted"]
    arguments = ["tokenize", "corpus=c", "tokenizer.vocab_size=300", "name=t", "cluster=slurm"]
    (shards,) = submit(*arguments, f"cluster.after=[{corpus['job_id']}]")["submitted"]
    assert slurm.job(shards["job_id"])["Dependency"].startswith(f"afterok:{corpus['job_id']}")
    subprocess.run(["scontrol", "release", corpus["job_id"]], check=True)
    assert [slurm.wait(each["job_id"]) for each in (corpus, shards)] == ["COMPLETED"] * 2
    assert submit("list", "kind=shards")["artifacts"][-1]["name"] == "t"


def test_the_dry_run_prints_the_script_and_submits_nothing(small, folder, capsys):
    before = sorted(folder.glob("artifacts/jobs/*"))
    capsys.readouterr()
    assert main([*small, "max_tokens=512", "init_seed=7", "dry_run=true"]) == 0
    script = capsys.readouterr().out
    assert sorted(folder.glob("artifacts/jobs/*")) == before
    # SLURM itself finds nothing wrong with it.
    done = subprocess.run(["sbatch", "--test-only"], input=script, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["cluster.partition=mian"],
            "cluster.partition=mian: no such partition; did you mean main? "
            "expected one of main, spare",
        ),
        (["cluster.time=soon"], "cluster=slurm: sbatch: error: Invalid --time specification"),
        (["cluster.nodes=2"], "parallel.ranks=1: the cluster's nodes and tasks come to 2"),
    ],
)
def test_what_slurm_cannot_run_is_one_line(small, overrides, message, folder, capsys):
    before = sorted(folder.glob("artifacts/jobs/*"))
    capsys.readouterr()
    assert main([*small, "max_tokens=512", "init_seed=7", *overrides]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert sorted(folder.glob("artifacts/jobs/*")) == before
