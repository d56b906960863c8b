"""What an offline W&B run of a sweep's cell holds, read back from its file."""

import json

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32768, 7


def records(path):
    """The records of a .wandb file: LevelDB's log format after a header of seven bytes."""
    data, place, message = path.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        kind = data[place + 6]  # 1: whole, 2: first part, 3: middle, 4: last
        message += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            yield Record.FromString(message)
            message = b""


def test_a_cell_is_filed_under_its_sweep(tiny):
    done = tiny(
        *["train", "-m", "shards=s", *tiny.settings, "logger=wandb", "logger.tags=[mine]"],
        *["optimizer.lr=3e-3,4e-3", "init_seed=11"],
    )
    (first, _) = done["jobs"]
    folder = tiny.home / "checkpoint" / first["result"]["checkpoint"]
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    found = list(records(file))
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
