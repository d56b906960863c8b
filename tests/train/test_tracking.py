"""How a run is named, what an offline run holds, and how a tag ends a run."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import wandb

from olmoflow.train.tracking import WandbRun, WandbSettings, run_name, tags_of


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["optimizer.lr=1e-3", "init_seed=2"], "optimizer.lr=1e-3 init_seed=2"),
        (["name=mine", "output=json", "logger=wandb", "runtime.progress=false"], "artifact"),
        (["shards=/data/s", "checkpoint=s3://b/c", "+note=two words", "warmup=1"], "warmup=1"),
        (["experiments=olmo3_7b/pretrain", "group=g"], "artifact"),
        ([f"key_{i}=1" for i in range(50)], None),
    ],
)
def test_a_run_is_called_by_what_was_overridden(overrides, name):
    found = run_name(overrides, "artifact")
    assert len(found) <= 128
    if name is not None:
        assert found == name


def test_a_tag_ends_the_run_at_a_step_and_the_run_resumes(experiment, tmp_path):
    looks = []

    def lookup(run):
        looks.append(run.id)
        if len(looks) == 1:
            raise ConnectionError  # out of reach once
        return {"olmo3_tiny", "cancelled"} if len(looks) > 2 else {"olmo3_tiny"}

    settings = WandbSettings(cancel_check_minutes=0.001)
    tracker = WandbRun(settings, tmp_path, "run", {}, lookup)
    ended = experiment(max_steps=5000, sinks=[tracker], log_every=1).result
    assert ended.stopped == "signal"
    assert 0 < ended.steps < 5000
    assert tracker.cancelled_by == "cancelled"
    assert len(looks) == 3
    tracker.finish({"stopped": "cancelled", "steps": ended.steps, "tokens": ended.tokens})
    resumed = experiment(max_steps=ended.steps + 1, log_every=1).result
    assert (resumed.steps, resumed.stopped) == (ended.steps + 1, "finished")


def test_an_offline_run_asks_for_no_tags(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb, "Api", None)  # to use it would raise
    tracker = WandbRun(WandbSettings(cancel_check_minutes=0.0001), tmp_path, "run", {})
    assert not re.search("online", tracker.run.settings.mode or "")
    tracker.finish(None)
    assert tracker.cancelled_by is None


def test_tags_are_asked_of_the_api_by_the_runs_path(monkeypatch):
    asked = []

    class Api:
        def __init__(self, timeout):
            pass

        def run(self, path):
            asked.append(path)
            return SimpleNamespace(tags=["a", "cancel"])

    monkeypatch.setattr(wandb, "Api", Api)
    assert tags_of(SimpleNamespace(path="me/olmoflow/ab12")) == {"a", "cancel"}
    assert asked == ["me/olmoflow/ab12"]


def test_the_end_of_wandbs_own_process_does_not_end_the_run(tmp_path):
    """A cluster's SIGTERM reaches it before the ranks have saved."""
    script = """
import os, signal, sys, time
from pathlib import Path
from olmoflow.train.tracking import WandbRun, WandbSettings
tracker = WandbRun(WandbSettings(), Path(sys.argv[1]), "run", {})
tracker(1, {"loss": 1.0})
mine = str(os.getpid()).encode()
for process in Path("/proc").glob("[0-9]*"):
    try:
        words = (process / "cmdline").read_bytes().split(b"\\0")
    except OSError:  # ended meanwhile
        continue
    if b"wandb-core" in words[0] and mine in words:
        os.kill(int(process.name), signal.SIGKILL)
time.sleep(0.5)
for step in range(2, 6):
    tracker(step, {"loss": 1.0})
    time.sleep(0.1)
tracker.finish(None)
print("went on")
"""
    # Of its own, not the one that other tests of this process have begun.
    own = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_SERVICE")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        env=own,
    )
    assert done.stdout.splitlines()[-1:] == ["went on"], done.stderr
    assert done.stderr.count("W&B is lost") == 1
