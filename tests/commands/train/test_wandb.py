"""What an offline W&B run of a sweep's cell holds, read back from its file."""

import json

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
