"""Work that was cut goes on where it was, and ends with the same bytes."""

import errno
import itertools
import json
import os
import pickle
import subprocess
import sys

import pytest

from olmoflow.curate.pipeline import workers
from olmoflow.curate.pipeline.engine import Pipeline, run_pipeline
from olmoflow.curate.pipeline.map_pass import MapPass
from olmoflow.curate.pipeline.output import OutputPass, OutputWorker
from olmoflow.errors import UserError

MAIN = """
import os, pickle, sys
from pathlib import Path
os.environ["MAIN"] = str(os.getpid())
from olmoflow.curate.pipeline import workers
from olmoflow.curate.pipeline.engine import run_pipeline
run_pipeline(pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), workers=1)
"""


@pytest.fixture
def sources(write):
    """Two folders; as one source they are one unit, which needs no process of its own."""
    for name in "ab":
        rows = [{"id": f"{name}{n}", "text": f"text {n % 40} " * 9} for n in range(50)]
        source = write(f"{name}/x.jsonl", rows).parent.parent
    return source


def make(steps, sources, trap, whom="worker"):
    """Two map passes around a stage; a step of the second one strikes once, if there is a trap."""
    found = steps(
        {"name": "longer", "lower_bound": 60},
        "first_of_text",
        "score",
        {"name": "dies", "file": str(trap), "whom": whom},
        "upper",
    )
    return Pipeline(found, (str(sources),), heldout_fraction=0.2)


def test_a_killed_worker_costs_its_unit_alone(
    steps, sources, tmp_path, capfd, files_of, monkeypatch
):
    trap = tmp_path / "trap"
    found = steps({"name": "dies", "file": str(trap)}, "upper")
    pipeline = Pipeline(found, (str(sources / "a"), str(sources / "b")))
    untouched = run_pipeline(pipeline, tmp_path / "untouched", workers=2)
    trap.touch()
    monkeypatch.setattr(workers, "SMALL_BYTES", -1)
    struck = run_pipeline(pipeline, tmp_path / "struck", workers=2)
    assert not trap.exists()
    assert "a worker died; its work is done again" in capfd.readouterr().err
    assert files_of(tmp_path / "struck") == files_of(tmp_path / "untouched")
    assert struck.documents == untouched.documents


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("UDF process closed the connection unexpectedly (EOF reached), stdout: []"),
        RuntimeError("UDF process has terminated"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
    ],
)
def test_whenever_a_worker_dies_its_work_is_done_again(
    steps, sources, tmp_path, capfd, files_of, monkeypatch, error
):
    """What Daft raises depends on whether it waits for the worker, or has or gives it work."""
    pipeline = Pipeline(steps("upper"), (str(sources),))
    run_pipeline(pipeline, tmp_path / "untouched", workers=1)
    run, deaths = workers._run, [error]

    def dies_once(*arguments):
        if deaths:
            raise deaths.pop()
        yield from run(*arguments)

    monkeypatch.setattr(workers, "_run", dies_once)
    run_pipeline(pipeline, tmp_path / "struck", workers=1)
    assert capfd.readouterr().err.count("a worker died; its work is done again") == 1
    assert files_of(tmp_path / "struck") == files_of(tmp_path / "untouched")


def test_a_killed_run_resumes_at_its_last_finished_step(steps, sources, tmp_path, files_of):
    trap = tmp_path / "trap"
    pipeline = make(steps, sources, trap, "main")
    run_pipeline(pipeline, tmp_path / "untouched", workers=1)
    (tmp_path / "pipeline.pickle").write_bytes(pickle.dumps(pipeline))
    trap.touch()
    command = [sys.executable, "-c", MAIN, str(tmp_path / "pipeline.pickle")]
    command.append(str(tmp_path / "struck"))
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == -9, done.stderr
    work = tmp_path / "struck" / "work"
    assert (work / "01-stage-first_of_text" / "done.json").is_file()
    assert not list((work / "00-map-longer").glob("*.parquet"))
    stage = json.loads((work / "01-stage-first_of_text" / "done.json").read_text())
    assert stage["accounts"][0]["after"]["documents"] == 40
    subprocess.run(command, check=True)
    assert files_of(tmp_path / "struck") == files_of(tmp_path / "untouched")
    assert not work.exists()


def test_a_full_disk_is_one_line_and_the_work_resumes(steps, sources, tmp_path, files_of):
    trap = tmp_path / "trap"
    pipeline = make(steps, sources, trap, "full")
    run_pipeline(pipeline, tmp_path / "untouched", workers=1)
    trap.touch()
    with pytest.raises(UserError, match=r"somewhere: No space left on device; make room and run"):
        run_pipeline(pipeline, tmp_path / "struck", workers=1)
    assert (tmp_path / "struck" / "work" / "01-stage-first_of_text" / "done.json").is_file()
    run_pipeline(pipeline, tmp_path / "struck", workers=1)
    assert files_of(tmp_path / "struck") == files_of(tmp_path / "untouched")


def test_unfinished_work_of_another_pipeline_is_not_taken_up(steps, sources, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()
    with pytest.raises(UserError):
        run_pipeline(make(steps, sources, trap, "full"), tmp_path / "corpus", workers=1)
    (tmp_path / "corpus" / "errors").mkdir()
    (tmp_path / "corpus" / "errors" / "00-map-old.jsonl").write_text("{}\n")
    other = Pipeline(steps("upper"), (str(sources / "a"),))
    result = run_pipeline(other, tmp_path / "corpus", workers=1)
    assert not (tmp_path / "corpus" / "errors").exists()
    assert sum(result.documents.values()) == 50


def test_ids_that_come_twice_are_made_unique(steps, write, tmp_path, corpus_rows):
    write(
        "a.jsonl", [{"id": "x", "text": f"a{n}"} for n in range(3)] + [{"id": "x#2", "text": "b"}]
    )
    source = write("b/b.jsonl", [{"id": "x", "text": "c"}, {"id": "y", "text": "d"}]).parent.parent
    result = run_pipeline(Pipeline(steps("upper"), (str(source),)), tmp_path / "corpus", workers=1)
    rows = corpus_rows(tmp_path / "corpus")
    assert result.duplicate_ids == 3
    assert {i: r["text"] for i, r in rows.items()} == {
        "x": "A0", "x#3": "A1", "x#4": "A2", "x#2": "B", "x#5": "C", "y": "D"
    }  # fmt: skip


def test_a_run_that_ended_is_not_done_again(steps, sources, tmp_path):
    """Its caller may have been killed before it could say that the corpus is whole."""
    pipeline = Pipeline(steps("longer", "first_of_text"), (str(sources),))
    first = run_pipeline(pipeline, tmp_path / "corpus", workers=1)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus").rglob("*")}
    assert vars(run_pipeline(pipeline, tmp_path / "corpus", workers=1)) == vars(first)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus").rglob("*")} == before


@pytest.fixture
def several(write):
    """Folders that are a source each, and so a shard each."""
    for name in "abc":
        rows = [
            {"id": f"{name}{n}", "text": f"text {n % 40} {name * (n // 40)}"} for n in range(50)
        ]
        source = write(f"{name}/x.jsonl", rows).parent.parent
    return tuple(str(source / name) for name in "abc")


def test_a_disk_that_fills_while_the_corpus_is_written(
    steps, several, tmp_path, files_of, monkeypatch
):
    """The last stage's decisions are applied as the documents are written."""
    pipeline = Pipeline(steps("score", "first_of_text"), several, heldout_fraction=0.2)
    whole = run_pipeline(pipeline, tmp_path / "untouched", workers=1)
    write, number = OutputWorker.work, itertools.count()

    def full(worker, unit):
        if next(number) == 1:
            raise OSError(28, "No space left on device", "somewhere")
        return write(worker, unit)

    monkeypatch.setattr(OutputWorker, "work", full)
    with pytest.raises(UserError, match="somewhere: No space left on device"):
        run_pipeline(pipeline, tmp_path / "struck", workers=1)
    written = list((tmp_path / "struck" / "work" / "01-stage-first_of_text").glob("0000?.json"))
    assert 1 <= len(written) < 3
    found = run_pipeline(pipeline, tmp_path / "struck", workers=1)
    assert files_of(tmp_path / "struck") == files_of(tmp_path / "untouched")
    assert (found.documents, found.written) == (whole.documents, whole.written)
    assert found.accounts[-1].after == whole.accounts[-1].after


def test_processes_and_threads_write_the_same(steps, several, tmp_path, files_of, monkeypatch):
    pipeline = Pipeline(steps("first_of_text"), several, heldout_fraction=0.2)
    threads = run_pipeline(pipeline, tmp_path / "threads", workers=2)
    monkeypatch.setattr(workers, "SMALL_BYTES", -1)
    monkeypatch.setattr(OutputPass, "threads_up_to", -1)
    monkeypatch.setattr(MapPass, "threads_up_to", -1)
    processes = run_pipeline(pipeline, tmp_path / "processes", workers=2)
    assert files_of(tmp_path / "processes") == files_of(tmp_path / "threads")
    assert processes.written == threads.written
