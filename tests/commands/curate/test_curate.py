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

    monkeypatch.setattr(
        registry, "map_operations", lambda: {"text_len_filter": command_steps.Longer}
    )
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"d{n}", "text": "word " * n, "url": f"e.org/{n}"} for n in range(1, 101)]
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
    made = curate(
        "pipeline=steps", STEP, "source=text.jsonl", "name=c", "pipeline.heldout_fraction=0.1"
    )
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
    assert (
        curate("pipeline=steps", STEP, "source=text.jsonl", "pipeline.heldout_fraction=0.1") == made
    )
    again = curate("pipeline=steps", "source=c", "name=d")
    assert sum(again["documents"].values()) == 81
    assert main(["tokenize", "corpus=c", "tokenizer.vocab_size=266", "output=json"]) == 0
    tokens = json.loads(capfd.readouterr().out)
    assert sum(s["documents"] for s in tokens["splits"].values()) == 81


MISTAKES = [
    ("pipeline.steps=[text_length]", "steps[0].name=text_length: no such step; did you mean text_"),
    (
        "pipeline.steps=[{name: text_len_filter, lower: 3}]",
        "pipeline.steps[0] text_len_filter.lower: no such argument; did you mean lower_bound?",
    ),
    (
        "pipeline.steps=[{name: text_len_filter, lower_bound: long}]",
        "pipeline.steps[0] text_len_filter.lower_bound='long': input should be a valid integer",
    ),
    ("pipeline.steps=[{lower_bound: 3}]", "pipeline.steps[0]: expected the name of a step"),
    ("pipeline.read.kind=word", "read.kind=word: expected one of auto, documents"),
    ("pipeline.read.kind=pdf", "text.jsonl: found 1 files, expected files that end in .pdf"),
    ("pipeline.read.pdf=olmocr", "read.pdf=olmocr: the package olmocr is not installed"),
    ("pipeline.heldout_fraction=1", "pipeline.heldout_fraction=1: expected 0 or more, below 1"),
    ("runner=spark", "runner=spark: expected native or ray"),
    ("source=nowhere", "source=nowhere: no such path"),
    ("source=null", "source: missing; pipeline=steps needs source=PATH"),
    (
        "pipeline.steps=[{name: text_len_filter, lower_bound: 1000}]",
        "text_len_filter: removed all 100 documents that came to it",
    ),
    ("pipeline=all_dressed", "pipeline.banlists: missing"),
    ("pipeline=datamap", "datamap: missing"),
    ("convert=out.yaml", "convert: expected pipeline=datamap"),
]


@pytest.mark.parametrize(("argument", "message"), MISTAKES)
def test_a_mistake_is_one_line_before_anything_is_read(curate, home, argument, message):
    given = {"pipeline": "steps", "source": "text.jsonl"}
    given |= [argument.split("=", 1)]
    error = curate(*(f"{k}={v}" for k, v in given.items()), status=2)
    assert message in error
    assert len(error.splitlines()) == 1
    corpora = home / "artifacts" / "corpus"
    assert not corpora.is_dir() or not list(corpora.glob("*/train"))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("minhash_dedup, bands: 0", "minhash_dedup.bands: found 0, expected at least 1"),
        ("minhash_dedup, keep: best", "minhash_dedup.score: found None, expected the field to"),
        ("decontaminate, references: x", "decontaminate.references=x: no such file or folder"),
        ("reshard, label: cut, max_size: 0", "cut: reshard.max_size=0: expected above 0"),
    ],
)
def test_a_value_that_a_stage_refuses_costs_no_reading(curate, home, step, message):
    error = curate(
        "pipeline=steps", "source=text.jsonl", f"pipeline.steps=[{{name: {step}}}]", status=2
    )
    assert f"olmoflow: pipeline.steps[0] {message}" in error
    assert not list((home / "artifacts" / "corpus").glob("*/work"))


def test_a_pipeline_of_datamap_runs_and_is_written_in_our_form(curate, home):
    (home / "d.yaml").write_text(
        "name: d\ntext_field: text\npipeline:\n  - name: text_len_filter\n    step: long\n"
        "    kwargs: {lower_bound: 100}\n"
    )
    made = curate("pipeline=datamap", "datamap=d.yaml", "source=text.jsonl")
    assert made["steps"]["long"]["documents_out"] == 81
    written = curate("pipeline=datamap", "datamap=d.yaml", "convert=ours.yaml")
    assert written == {"path": "ours.yaml", "steps": 1}
    text = (home / "ours.yaml").read_text()
    assert "- name: text_len_filter\n  lower_bound: 100\n  label: long\n" in text
    error = curate("pipeline=datamap", "datamap=missing.yaml", "source=text.jsonl", status=2)
    assert "datamap=missing.yaml: No such file or directory" in error


def test_what_steps_there_are_and_what_they_take_can_be_asked(curate):
    steps = curate("describe=all")["described"]
    assert {"text_len_filter", "minhash_dedup", "shuffle"} <= set(steps)
    step = curate("describe=minhash_dedup")["described"]
    assert (step["arguments"]["bands"], step["arguments"]["rows"]) == (26, 11)
    assert "bands: Bands of a signature." in step["text"]
    error = curate("describe=minhash", status=2)
    assert "describe=minhash: no such step; did you mean minhash_dedup?" in error


def test_what_was_set_apart_or_renamed_is_said(home, capfd):
    rows = [{"id": "a", "text": f"text {n}"} for n in range(2000)]
    lines = [json.dumps(row) for row in rows]
    (home / "in").mkdir()
    (home / "in" / "x.jsonl").write_text("\n".join([*lines, '{"text": "cut']) + "\n")
    for pipeline, where in (("steps", "errors"), ("documents", "errors.jsonl")):
        capfd.readouterr()
        arguments = [f"pipeline={pipeline}", "source=in", f"name={pipeline}"]
        assert main(["curate", *arguments, "runtime.progress=false"]) == 0
        said = capfd.readouterr().out
        path = home / "artifacts" / "corpus" / pipeline / where
        assert f"malformed, set apart: 1; why: {path}\n" in said
        assert path.exists()
        assert "ids that were taken: 1,999, made unique by #2, #3 …\n" in said


def test_a_report_of_decontamination_is_reviewed(home, curate, capfd):
    question = "How many eggs do the ducks of Janet lay on a day and what are they sold for at"
    reference = {
        "eval_key": "ducks", "eval_instance_index": 0, "split": "test", "doc_id": 1,
        "question": f"{question} the market of the farmers", "fingerprint": "0123456789abcdef",
    }  # fmt: skip
    (home / "references.jsonl").write_text(json.dumps(reference) + "\n")
    row = {"id": "leak", "text": f"Before. {reference['question']} Behind it."}
    with (home / "text.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    step = f"{{name: decontaminate, references: {home}/references.jsonl, report: {home}/found}}"
    made = curate("pipeline=steps", f"pipeline.steps=[{step}]", "source=text.jsonl", "name=d")
    assert made["steps"]["decontaminate"]["reasons"] == {"ducks:ducks": 1}
    (one,) = curate(f"review={home}/found")["reviewed"]
    assert (one["matches"], one["documents"], one["perfect"]) == (1, 1, 1)
    assert main(["curate", f"review={home}/found"]) == 0
    said = capfd.readouterr().out
    assert "score 1.000" in said
    assert "ducks of janet" in said.lower()
    (home / "empty").mkdir()
    assert "expected a report of decontamination" in curate(f"review={home}/empty", status=2)
