"""`olmoflow curate` with a pipeline of steps: what comes out, and what it says of mistakes."""

import json
import os
import sys
from importlib import invalidate_caches

import pytest

from olmoflow.commands.main import main
from olmoflow.curate.pipeline import registry

STEPS = '''
"""Steps for tests."""
import pyarrow.compute as compute
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field

class Longer:
    def __init__(self, lower_bound: int = 0, text_field: str = "text"):
        self.lower_bound = lower_bound
    def __call__(self, documents):
        sizes = compute.binary_length(documents.column("text")).to_numpy()
        return Outcome(documents, sizes >= self.lower_bound)
'''


@pytest.fixture
def home(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "command_steps.py").write_text(STEPS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    sys.modules.pop("command_steps", None)
    invalidate_caches()
    import command_steps

    monkeypatch.setattr(registry, "map_operations", lambda: {"text_len_filter": command_steps.Longer})
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"d{n}", "text": "word " * n, "url": f"http://e.org/{n}"} for n in range(1, 101)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture
def curate(home, capfd):
    def run(*arguments, status=0):
        capfd.readouterr()
        found = main(["curate", *map(str, arguments), "output=json", "runtime.progress=false"])
        written = capfd.readouterr()
        assert found == status, written.err
        return json.loads(written.out) if status == 0 else written.err.strip()

    return run


STEP = "pipeline.steps=[{name: text_len_filter, lower_bound: 100}]"


def test_a_pipeline_of_steps_becomes_a_corpus_that_tokenize_reads(home, curate, capfd):
    made = curate("pipeline=steps", STEP, "source=text.jsonl", "name=c", "pipeline.heldout_fraction=0.1")
    assert sum(made["documents"].values()) == 81
    step = made["steps"]["text_len_filter"]
    assert (step["documents_in"], step["documents_out"]) == (100, 81)
    assert step["bytes_in"] == 5 * 5050
    assert step["words_out"] == 5050 - 190
    assert step["tokens_in"] == round(5 * 5050 / 4.48)
    assert step["reasons"] == {"text_len_filter": 19}
    report = json.loads((home / "artifacts" / "corpus" / "c" / "report.json").read_text())
    assert [s["name"] for s in report["steps"]] == ["read", "text_len_filter"]
    assert sum(report["histograms"][0]["before"]) == 100
    assert sum(report["histograms"][0]["after"]) == 81
    assert {len(s["text"]) for s in report["samples"]} == {5 * n for n in range(1, 20)}
    # What is finished is used again; a corpus is a source as well.
    assert curate("pipeline=steps", STEP, "source=text.jsonl", "pipeline.heldout_fraction=0.1") == made
    again = curate("pipeline=steps", "source=c", "name=d")
    assert sum(again["documents"].values()) == 81
    assert main(["tokenize", "corpus=c", "tokenizer.vocab_size=260", "output=json"]) == 0
    tokens = json.loads(capfd.readouterr().out)
    assert sum(s["documents"] for s in tokens["splits"].values()) == 81


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pipeline=steps"], "source: missing; pipeline=steps needs source=PATH"),
        (["pipeline=steps", "source=nowhere"], "source=nowhere: no such path"),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.steps=[text_length]"],
            "pipeline.steps[0].name=text_length: no such step; did you mean text_len_filter?",
        ),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.steps=[{name: text_len_filter, lower: 3}]"],
            "pipeline.steps[0] text_len_filter.lower: no such argument; did you mean lower_bound?",
        ),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.steps=[{name: text_len_filter, lower_bound: long}]"],
            "pipeline.steps[0] text_len_filter.lower_bound='long': input should be a valid integer",
        ),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.steps=[{lower_bound: 3}]"],
            "pipeline.steps[0]: expected the name of a step",
        ),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.read.kind=word"],
            "read.kind=word: expected one of auto, documents",
        ),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.read.kind=pdf"],
            "text.jsonl: found 1 files, expected files that end in .pdf",
        ),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.read.pdf=olmocr"],
            "read.pdf=olmocr: the package olmocr is not installed",
        ),
        (["pipeline=steps", "source=text.jsonl", "runner=spark"], "runner=spark: expected native or ray"),
        (
            ["pipeline=steps", "source=text.jsonl", "pipeline.steps=[{name: text_len_filter, lower_bound: 1000}]"],
            "text_len_filter: removed all 100 documents that came to it",
        ),
        (["pipeline=all_dressed", "source=text.jsonl"], "pipeline.banlists: missing"),
        (["pipeline=datamap", "source=text.jsonl"], "datamap: missing"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_before_anything_is_read(curate, home, arguments, message):
    error = curate(*arguments, status=2)
    assert message in error
    assert len(error.splitlines()) == 1
    corpora = home / "artifacts" / "corpus"
    assert not corpora.is_dir() or not list(corpora.glob("*/train"))
