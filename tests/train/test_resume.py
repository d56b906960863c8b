"""Killed, stopped, moved to other ranks: the run ends as if nothing had happened."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from olmoflow.model.checkpoint import list_steps

STEPS = 40
MODEL = [
    "model.vocab_size=512",
    "model.d_model=32",
    "model.n_heads=2",
    "model.n_kv_heads=1",
    "model.ffn_hidden_size=64",
    "model.sliding_window=16",
]
RUN = (
    f"sequence_length=32 global_batch_tokens=256 max_tokens={256 * STEPS} log_every=1 "
    "warmup=3 optimizer.lr=3e-3 save.every_steps=7 runtime.accelerator=cpu output=json"
).split()
# What a step does not determine.
TIMED = "throughput/device/"


def command(shards, *overrides):
    start = [sys.executable, "-m", "olmoflow", "train", f"shards={shards}"]
    return [*start, *MODEL, *RUN, *overrides]


def start(folder, arguments):
    environment = {**os.environ, "OLMOFLOW_HOME": str(folder)}
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(folder, arguments):
    process = start(folder, arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out)


def curve(folder):
    with (folder / "checkpoint" / "run" / "metrics.csv").open(newline="") as file:
        return [
            {k: v for k, v in row.items() if not k.startswith(TIMED)}
            for row in csv.DictReader(file)
        ]


def wait_for_rows(folder, count, process):
    file = folder / "checkpoint" / "run" / "metrics.csv"
    while not file.exists() or file.read_text().count("\n") <= count:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.002)


def weights(folder):
    last = list_steps(folder / "checkpoint" / "run")[-1]
    assert last.step == STEPS
    tensors = dict(last.iter_tensors())
    assert tensors
    return tensors


@pytest.fixture(scope="module", params=[8, 2], ids=["accumulation 1", "accumulation 4"])
def whole(request, shards, tmp_path_factory):
    """An uninterrupted run: its folder and the override that it was started with."""
    folder = tmp_path_factory.mktemp("whole")
    override = f"runtime.micro_batch_sequences={request.param}"
    result = finish(folder, command(shards, "name=run", override))
    assert result["steps"] == STEPS
    return folder, override


def test_the_loss_curve_is_bit_equal_to_the_uninterrupted_run(whole, shards, tmp_path, hold):
    """Killed, and stopped while it went on from there."""
    uninterrupted, override = whole
    arguments = command(shards, "name=run", override)
    for signal_, rows in ((signal.SIGKILL, 11), (signal.SIGTERM, 24)):
        hold(rows + 8)
        process = start(tmp_path, arguments)
        wait_for_rows(tmp_path, rows, process)
        process.send_signal(signal_)
        hold(None)
        _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the same command resumes" in errors
    # Saved where it stood, not where it last saved.
    assert list_steps(tmp_path / "checkpoint" / "run")[-1].step >= rows
    finish(tmp_path, arguments)
    assert curve(tmp_path) == curve(uninterrupted)
    ours, expected = weights(tmp_path), weights(uninterrupted)
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (ours[name] == tensor).all(), name


def rank_process(folder, rank):
    """The process id of a rank of the run in a folder."""
    wanted = b"olmoflow.commands.train.rank", str(folder / "checkpoint" / "run").encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        # torchrun's own command line names the module too, but it is no rank.
        if all(word in words for word in wanted) and f"RANK={rank}".encode() in environment:
            return int(process.name)
    raise AssertionError(f"no rank {rank} runs in {folder}")


@pytest.mark.distributed
@pytest.mark.skipif(sys.platform != "linux", reason="finds a rank by /proc")
@pytest.mark.parametrize("whole", [8], indirect=True, ids=["accumulation 1"])
def test_any_rank_may_be_killed_and_any_number_of_ranks_goes_on(whole, shards, tmp_path, hold):
    uninterrupted, _ = whole
    # Saved at every step, so that a kill meets a save.
    options = ("name=run", "runtime.micro_batch_sequences=2", "save.every_steps=1")
    arguments = command(shards, *options)
    four = ["parallel=hsdp", "parallel.ranks=4", "parallel.shard=2"]
    two = ["parallel=ddp", "parallel.ranks=2"]
    for rows, rank, parallel in ((9, 2, four), (20, 0, two), (30, None, [])):
        hold(rows + 8)
        process = start(tmp_path, [*arguments, *parallel])
        wait_for_rows(tmp_path, rows, process)
        os.kill(process.pid if rank is None else rank_process(tmp_path, rank), signal.SIGKILL)
        hold(None)
        process.communicate()
        assert process.returncode not in (0, 2)
        assert list_steps(tmp_path / "checkpoint" / "run")[-1].step >= rows - 2
    finish(tmp_path, arguments)
    expected, found = curve(uninterrupted), curve(tmp_path)
    assert [r["step"] for r in found] == [r["step"] for r in expected]
    for name in ("train/CE loss", "optim/total grad norm", "optim/LR (group 0)"):
        ours = [float(r[name]) for r in found]
        assert ours == pytest.approx([float(r[name]) for r in expected], rel=2e-4), name


@pytest.mark.distributed
def test_a_failing_rank_is_one_line(shards, tmp_path):
    arguments = command(shards, "parallel=fsdp", "parallel.ranks=2", "model.n_kv_heads=3")
    process = start(tmp_path, arguments)
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "n_kv_heads: 3 found" in errors.strip().splitlines()[-1]
