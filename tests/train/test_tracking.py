"""How a run is named, what an offline run holds, and how a tag ends a run."""

import re
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
