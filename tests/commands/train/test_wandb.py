"""What an offline W&B run of a sweep's cell holds, read back from its file."""

import csv
import json

from olmoflow.artifact import open_artifact, verify
from olmoflow.commands.main import main
from olmoflow.train.tracking import WandbRun


def test_a_cell_is_filed_under_its_sweep(tiny, wandb_records):
    done = tiny(
        *["train", "-m", "shards=s", *tiny.settings, "logger=wandb", "logger.tags=[mine]"],
        *["optimizer.lr=3e-3,4e-3", "init_seed=11"],
    )
    (first, _) = done["jobs"]
    folder = tiny.home / "checkpoint" / first["result"]["checkpoint"]
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = wandb_records(file)
    (run,) = [r.run for r in found if r.HasField("run")][:1]
    assert run.run_group == done["group"]
    assert run.job_type == "train"
    assert run.display_name == "optimizer.lr=0.003"
    assert list(run.tags) == ["olmo3_tiny", "pretrain", "mine"]
    config = {update.key: json.loads(update.value_json) for update in run.config.update}
    assert config["optimizer"]["lr"] == 0.003
    assert config["inputs"] == ["shards s"]
    (artifact,) = [
        r.request.log_artifact.artifact if r.request.HasField("log_artifact") else r.artifact
        for r in found
        if r.HasField("artifact") or r.request.HasField("log_artifact")
    ]
    assert (artifact.name, artifact.type) == (folder.name, "checkpoint")
    metadata = json.loads(artifact.metadata)
    request = json.loads((folder / "request.json").read_text())
    assert metadata["key"] == request["key"]
    assert [(i["kind"], i["name"]) for i in metadata["inputs"]] == [("shards", "s")]
    references = {entry.ref for entry in artifact.manifest.contents}
    assert f"{(folder / 'steps' / 'step-00000004').as_uri()}/model.json" in references
    summary = {
        item.key: item.value_json
        for r in found
        for item in r.summary.update
        if r.HasField("summary")
    }
    assert json.loads(summary["stopped"]) == "finished"


def test_a_cancelled_run_says_so_and_keeps_its_last_step(tiny, monkeypatch):
    begin = WandbRun.__init__
    monkeypatch.setattr(
        WandbRun, "__init__", lambda self, *given: begin(self, *given, lambda run: {"cancel"})
    )
    error = tiny(
        *["train", "shards=s", *tiny.settings, "name=stopped", "logger=wandb"],
        *["logger.cancel_check_minutes=0.0005", "max_tokens=1e7"],
        "data.sources.0.max_repetition=1e6",
        status=2,
    )
    folder = tiny.home / "checkpoint" / "stopped"
    outcome = json.loads((folder / "outcome.json").read_text())
    assert (outcome["stopped"], outcome["tag"]) == ("cancelled", "cancel")
    assert f"stopped: cancelled at step {outcome['steps']} by the W&B tag cancel" in error
    assert (folder / "steps" / f"step-{outcome['steps']:08d}").is_dir()
    assert not (folder / "provenance.json").exists()


def test_a_finished_run_is_logged_when_a_sweep_meets_it_again(tiny, wandb_records, capfd):
    asked = ["shards=s", *tiny.settings, "init_seed=12"]
    folder = tiny.home / "checkpoint" / tiny("train", *asked, "name=before")["checkpoint"]

    def said(*more):
        assert main(["train", *asked, "logger=wandb", *more]) == 0
        return capfd.readouterr().err

    assert "checkpoint before is reused, and logged to W&B" in said("group=swept")
    (file,) = files_of(folder)
    found = wandb_records(file)
    with (folder / "metrics.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(each["_step"], each["train/CE loss"]) for each in history_of(found)] == [
        (int(row["step"]), float(row["train/CE loss"])) for row in rows
    ]
    (run,) = [r.run for r in found if r.HasField("run")][:1]
    assert (run.run_group, run.job_type) == ("swept", "train")
    config = {update.key: json.loads(update.value_json) for update in run.config.update}
    assert config["logged_from"] == "metrics.csv"  # the clock is not the training's
    assert not any(r.HasField("stats") for r in found)  # nor is this process's load

    assert "checkpoint before is reused; W&B has it already" in said("group=swept")
    assert "and logged to W&B" in said("group=another")
    (later,) = set(files_of(folder)) - {file}
    again = wandb_records(later)
    (filed,) = [r.run for r in again if r.HasField("run")][:1]
    assert (filed.run_id, filed.run_group) == (run.run_id, "another")
    assert history_of(again) == []  # one run, filed anew, and its curves are there
    verify(open_artifact(folder))  # W&B's files are no data of the checkpoint


def test_a_run_that_was_logged_as_it_trained_is_not_logged_again(tiny, capfd):
    asked = ["train", "shards=s", *tiny.settings, "init_seed=13", "logger=wandb"]
    folder = tiny.home / "checkpoint" / tiny(*asked)["checkpoint"]
    begun = files_of(folder)
    assert main(asked) == 0
    assert f"{folder.name} is reused; W&B has it already" in capfd.readouterr().err
    assert files_of(folder) == begun


def files_of(folder):
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


def history_of(found):
    """What was logged, report by report."""
    reports = []
    for record in found:
        if record.HasField("history"):
            items = record.history.item
            reports.append(
                {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
            )
    return reports
