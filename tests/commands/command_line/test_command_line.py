"""The contract for scripts: streams, exit status, one-line errors, free text as written."""

import errno
import json
import os
import subprocess
import sys

import pytest

from olmoflow.commands.command_line.free_text import take_free_text
from olmoflow.commands.main import HYDRA_COMMANDS, config_root, guarded
from olmoflow.errors import UserError


def olmoflow(*arguments, cwd, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "olmoflow", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        **kwargs,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "trian: no such command; did you mean train?"),
        (
            ["train", "optimzer.lr=1"],
            "optimzer.lr: no such key in olmoflow train; did you mean optimizer.lr?",
        ),
        (["train", "model=olmo3_tny"], "model=olmo3_tny: did you mean olmo3_tiny?"),
        (["train", "model=olmo3_13b"], "recipe=olmo3_13b/pretrain: no published recipe"),
        (["train", "experiments=typo"], "experiments=typo: "),
        (["train", "output=xml"], "output=xml: expected text or json"),
        (["train", "a b"], "a b: cannot be read as key=value"),
        (["train", "shards", "=", "s"], "shards: cannot be read as key=value; expected no spaces"),
        (["train", "a=[b,"], "a=[b,: cannot be read as key=value; a bracket is open; expected quo"),
        (["train", "--batch-size", "4"], "--batch-size: no such flag; expected batch_size=…"),
        (["train", "max_tokens=lots"], "max_tokens=lots: expected a positive number"),
        (["train", "sequence_length=abc"], "sequence_length=abc: expected a positive whole number"),
        (["train", "warmup=-1"], "warmup=-1: expected a whole number, 0 or more"),
        (["curate", "source=texts"], "source=texts: pipeline=installed_text makes its own"),
        (["tokenize"], "corpus: missing; give corpus=…"),
        (["tokenize", "corpus=nothing_here"], "corpus=nothing_here: no such path"),
        (["list", "kind=corpsu"], "kind=corpsu: expected one of"),
        (["show", "nothing"], "nothing: no such path, and there is no artifact yet"),
        (["tokenize", "corpus=Jürgens Texte/日本"], "corpus=Jürgens Texte/日本: no such path"),
    ],
)
def test_mistakes_get_one_line_and_status_2(arguments, message, tmp_path):
    done = olmoflow(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert message in done.stderr


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "no space left on device; expected room"), (errno.EROFS, "expected a folder")],
)
def test_what_the_machine_refuses_is_no_fault_of_ours(number, words, capsys, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def work():
        raise OSError(number, "of a library's own", "/full/file")

    assert guarded(work) == 2
    written = capsys.readouterr().err
    assert written.startswith("olmoflow: /full/file: ")
    assert words in written


def test_what_must_not_be_read_is_told_apart_from_what_must_not_be_written(
    tmp_path, capsys, monkeypatch
):
    path = tmp_path / "secret.jsonl"
    path.write_text("{}")

    def work():
        raise PermissionError(errno.EACCES, "of a library's own", str(path))

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(os, "access", lambda *_: False)  # for whoever runs as root may read it
    assert guarded(work) == 2
    written = capsys.readouterr().err
    assert written == (
        f"olmoflow: {path}: permission denied; expected a file or folder that can be read\n"
    )


INTERRUPTED = """
import queue, sys, threading
from olmoflow.commands import main
def run(*_):
    threading.Thread(target=queue.SimpleQueue().get).start()
    raise KeyboardInterrupt
main._run = run
sys.exit(main.main())
"""


def test_an_interrupted_command_ends_whatever_its_threads_wait_for():
    command = [sys.executable, "-c", INTERRUPTED, "list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 130
    assert done.stderr == "olmoflow: interrupted; the same command resumes\n"


def test_sweep_reports_each_cell_as_json(tmp_path):
    done = olmoflow("tokenize", "-m", "corpus=a,b", "output=json", cwd=tmp_path)
    jobs = json.loads(done.stdout)["jobs"]
    assert [j["overrides"] for j in jobs] == [
        ["corpus=a", "output=json"],
        ["corpus=b", "output=json"],
    ]
    assert {j["status"] for j in jobs} == {"failed"}
    assert done.returncode == 2


def test_list_is_empty_json_without_artifacts(tmp_path):
    done = olmoflow("list", "output=json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"artifacts": []}


@pytest.mark.parametrize("command", HYDRA_COMMANDS)
def test_help_shows_usage_groups_and_comments(command, tmp_path):
    done = olmoflow(command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert f"olmoflow {command}" in done.stdout
    assert "Settings: key=value" in done.stdout
    assert (config_root() / "conf" / f"{command}.yaml").is_file()


TEXTS = [
    "It's (2+2)=4, no?",
    "42",
    "${oc.env:HOME}",
    "two\nlines",
    "a=b,c",
    "",
    "[1,2]",
    '"quoted"',
]


@pytest.mark.parametrize("text", TEXTS)
def test_free_text_arrives_as_written(text):
    texts, rest = take_free_text(["checkpoint=x", f"prompt={text}", "seed=1"])
    assert texts == {"prompt": text}
    assert rest == ["checkpoint=x", "seed=1"]


def test_free_text_from_a_file(tmp_path):
    file = tmp_path / "prompt.txt"
    file.write_text("from ${a} file\n")
    assert take_free_text([f"prompt_file={file}"])[0] == {"prompt": "from ${a} file\n"}
    file.write_bytes(b"ok \xff")
    with pytest.raises(UserError, match="invalid UTF-8 at byte 3"):
        take_free_text([f"prompt_file={file}"])
    with pytest.raises(UserError, match="given twice"):
        take_free_text(["prompt=a", f"prompt_file={file}"])
