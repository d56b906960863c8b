"""Shards of 320 tokens and a model of a few thousand parameters, for commands from end to end."""

import json
import shutil
from types import SimpleNamespace

import pytest
from wandb.proto.wandb_internal_pb2 import Record

from olmoflow.commands.main import main

TEXT = "the quick brown fox jumps over the lazy dog, again and again; "
TINY = [
    "max_tokens=1024",
    "global_batch_tokens=256",
    "sequence_length=32",
    "warmup=1",
    "log_every=1",
    "runtime.micro_batch_sequences=4",
    "runtime.progress=false",
    "runtime.accelerator=cpu",
    "model.vocab_size=320",
    "model.d_model=16",
    "model.n_heads=2",
    "model.n_kv_heads=1",
    "model.ffn_hidden_size=32",
    "model.sliding_window=8",
]


BLOCK, HEADER = 32768, 7


@pytest.fixture(scope="session")
def wandb_records():
    """Reads the records of an offline run's .wandb file."""
    return lambda path: list(_records(path))


def _records(path):
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


@pytest.fixture(scope="session")
def _shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    rows = [json.dumps({"text": f"{number}. {TEXT * 8}"}) for number in range(60)]
    (folder / "text.jsonl").write_text("\n".join(rows) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(folder / "artifacts"))
        source = f"source={folder / 'text.jsonl'}"
        split = ["pipeline=documents", "pipeline.heldout_fraction=0.1"]
        assert main(["curate", *split, source, "name=c"]) == 0
        assert main(["tokenize", "corpus=c", "tokenizer.vocab_size=320", "name=s"]) == 0
    return folder


@pytest.fixture(scope="module")
def _tiny_home(_shards, tmp_path_factory):
    """Of each module its own: a run that another has finished under another name is reused."""
    return shutil.copytree(_shards, tmp_path_factory.mktemp("commands"), dirs_exist_ok=True)


@pytest.fixture
def tiny(_tiny_home, monkeypatch, capfd):
    """Artifacts with shards ``s`` that have a held-out split.

    ``tiny(…)`` runs a command in this process and returns its JSON, or with a status its error;
    ``tiny.settings`` are the overrides that make a training run tiny.
    """
    monkeypatch.setenv("OLMOFLOW_HOME", str(_tiny_home / "artifacts"))
    monkeypatch.chdir(_tiny_home)

    class Commands(SimpleNamespace):
        def __call__(self, *arguments, status=0):
            capfd.readouterr()
            assert main([*map(str, arguments), "output=json"]) == status
            written = capfd.readouterr()
            return json.loads(written.out) if written.out else written.err.strip()

    return Commands(home=_tiny_home / "artifacts", settings=TINY, folder=_tiny_home)
