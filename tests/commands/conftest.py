"""Shards of 320 tokens and a model of a few thousand parameters, for commands from end to end."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import zstandard
from wandb.proto.wandb_internal_pb2 import Record

from olmoflow.commands.command_line.hydra_app import compose, plain_config
from olmoflow.commands.flow.steps import parse_steps
from olmoflow.commands.main import main
from olmoflow.tokens.bpe import train_bpe

TEXT = "the quick brown fox jumps over the lazy dog, again and again; "
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
def tiny_home(_shards, tmp_path_factory):
    """Of each module its own: a run that another has finished under another name is reused."""
    return shutil.copytree(_shards, tmp_path_factory.mktemp("commands"), dirs_exist_ok=True)


@pytest.fixture
def tiny(tiny_home, tiny_settings, monkeypatch, capfd):
    """Artifacts with shards ``s`` that have a held-out split.

    ``tiny(…)`` runs a command in this process and returns its JSON, or with a status its error;
    ``tiny.settings`` are the overrides that make a training run tiny.
    """
    monkeypatch.setenv("OLMOFLOW_HOME", str(tiny_home / "artifacts"))
    monkeypatch.chdir(tiny_home)

    class Commands(SimpleNamespace):
        def __call__(self, *arguments, status=0):
            capfd.readouterr()
            assert main([*map(str, arguments), "output=json"]) == status
            written = capfd.readouterr()
            return json.loads(written.out) if written.out else written.err.strip()

    return Commands(home=tiny_home / "artifacts", settings=tiny_settings, folder=tiny_home)


@pytest.fixture
def steps_of_flow(tmp_path, monkeypatch, capfd):
    """``steps_of_flow(…)`` composes a flow and runs its command lines: the result of each step.

    In this process, one after the other: a trainer's start takes longer than such a small run. That
    `olmoflow flow` starts processes is what test_flow.py and test_ablation.py are about.
    """
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)

    def run(*overrides):
        results = {}
        for step in parse_steps(plain_config(compose("flow", overrides))["flow"]["steps"]):
            capfd.readouterr()
            assert main([*step.arguments(results, "flow"), "output=json"]) == 0, step.name
            results[step.name] = json.loads(capfd.readouterr().out)
        return results

    return run


class Synthesized:
    """``made(…)`` synthesizes with two endpoints: its result, or with a status the error.

    ``made.arguments`` are those that every run has; ``made.rows(result)`` the pairs.
    """

    def __init__(self, folder, server, tokenizer, capfd):
        self.folder, self._capfd = folder, capfd
        roles = ("strong", "weak", "judge")
        self.arguments = [
            "synthesize",
            "conversations=prompts.jsonl",
            f"pipeline.length_control.tokenizer={tokenizer}",
            "runtime.progress=false",
            *(f"engine@{role}.engine=openai" for role in ("strong", "weak")),
            *(f"{role}.engine.url={server.url}" for role in roles),
            *(f"{role}.engine.model={role}" for role in roles),
            *(f"{role}.engine.backoff=0.01" for role in roles),
        ]

    def __call__(self, *arguments, status=0):
        self._capfd.readouterr()
        assert main([*self.arguments, *arguments, "output=json"]) == status
        written = self._capfd.readouterr()
        return json.loads(written.out) if status == 0 else written.err.strip()

    def path(self, result):
        return Path(result["path"])

    def rows(self, result):
        found = []
        for path in sorted((self.path(result) / "train").iterdir()):
            with zstandard.open(path, "rt", encoding="utf-8") as file:
                found += [json.loads(line) for line in file]
        return found

    def write(self, name, rows):
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="session")
def small_tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_bpe(["one two three four five six seven eight nine ten and so on; " * 9], 290).save(
        folder
    )
    return folder


@pytest.fixture
def made(tmp_path, monkeypatch, capfd, chat_server, small_tokenizer):
    """Pairs of six questions; what the two models say is the chat server's matter."""
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    made = Synthesized(tmp_path, chat_server, small_tokenizer, capfd)
    turns = [
        [{"role": "user", "content": f"question {n}"}, {"role": "assistant", "content": "gold"}]
        for n in range(6)
    ]
    rows = [{"id": f"c{n}", "source": "chat", "messages": each} for n, each in enumerate(turns)]
    made.write("prompts.jsonl", rows)
    return made
