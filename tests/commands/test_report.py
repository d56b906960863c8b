"""A sweep with a failing cell, its record, and the report that is made of it."""

import csv
import json
import statistics

import pytest


@pytest.fixture
def swept(tiny):
    """A sweep of two learning rates and two seeds, and what it printed."""
    file = tiny.folder / "swept.json"
    if not file.exists():
        done = tiny(
            *["train", "-m", "shards=s", *tiny.settings, "group=lr", "log_every=2"],
            *["optimizer.lr=1e-2,1e-3", "init_seed=1,2"],
        )
        file.write_text(json.dumps(done))
    return tiny, json.loads(file.read_text())


def test_a_sweep_becomes_a_table_with_seeds_and_a_plot(swept):
    tiny, done = swept
    assert done["group"] == "lr"
    failed = tiny("train", "-m", "shards=s", *tiny.settings, "group=lr", "dtype=float8", status=2)
    assert [job["status"] for job in failed["jobs"]] == ["failed"]
    made = tiny("report", "group=lr", "name=lr")
    assert made["columns"] == ["optimizer.lr"]
    assert [row["setting"] for row in made["rows"]] == [
        {"optimizer.lr": "0.001"},
        {"optimizer.lr": "0.01"},
    ]
    losses = [job["result"]["final"]["train/CE loss"] for job in done["jobs"]]
    cell = made["rows"][1]["metrics"]["train/CE loss"]
    assert cell["n"] == 2
    assert cell["mean"] == pytest.approx(statistics.fmean(losses[:2]), rel=1e-12)
    assert cell["std"] == pytest.approx(statistics.stdev(losses[:2]), rel=1e-12)
    folder = tiny.home / "report" / "lr"
    text = (folder / "report.md").read_text()
    assert text.startswith(
        "# lr\n\n| optimizer.lr | n | train/CE loss |\n|---|---:|---:|\n| 0.001 |"
    )
    assert "dtype=float8: expected one of float32, bfloat16" in text
    (plot,) = made["plots"]
    assert f"({plot})" in text
    assert (folder / plot).read_bytes().startswith(b"\x89PNG")
    with (folder / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted((r["optimizer.lr"], r["init_seed"]) for r in rows) == [
        *[("0.001", "1"), ("0.001", "2"), ("0.01", "1"), ("0.01", "2")]
    ]
    assert tiny("report", "group=latest")["report"] == "lr"  # the same work, not done again


def test_evaluations_are_columns_of_the_checkpoints_that_they_scored(swept):
    tiny, done = swept
    names = [job["result"]["checkpoint"] for job in done["jobs"]]
    made = tiny("evaluate", "-m", f"checkpoint={','.join(names)}", "runtime.progress=false")
    scores = [job["result"]["score"] for job in made["jobs"]]
    of_runs = tiny("report", f"runs=[{','.join(names)}]", "metrics=[bits_per_byte]")
    assert of_runs["columns"] == ["optimizer.lr"]
    cell = of_runs["rows"][1]["metrics"]["bits_per_byte"]
    assert cell["mean"] == pytest.approx(statistics.fmean(scores[:2]), rel=1e-12)
    of_evaluations = tiny("report", f"group={made['group']}", "metrics=[bits_per_byte]")
    assert of_evaluations["rows"] == of_runs["rows"]


def test_rows_are_named_by_a_setting_of_what_the_runs_were_made_from(tiny):
    source = ["pipeline=documents", f"source={tiny.folder / 'text.jsonl'}"]
    tiny("curate", *source, "pipeline.heldout_fraction=0.3", "name=d")
    tiny("tokenize", "corpus=d", "tokenizer=folder", "tokenizer.source=s", "name=t")
    tiny("train", "-m", "shards=s,t", *tiny.settings, "group=sources")
    made = tiny("report", "group=sources", "columns=[pipeline.heldout_fraction]")
    assert [row["setting"] for row in made["rows"]] == [
        {"pipeline.heldout_fraction": "0.1"},
        {"pipeline.heldout_fraction": "0.3"},
    ]
    error = tiny("report", "group=sources", "columns=[pipeline.sise]", status=2)
    assert "columns=pipeline.sise: neither the runs nor what they were made from has" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "group: give either group=NAME (or latest) or runs=[NAME,…]"),
        (["group=lrr"], "group=lrr: no such group; did you mean lr?"),
        (["runs=[s]"], "runs=s: is a shards; expected a checkpoint or an evaluation"),
        (["runs=[none*]"], "runs=none*: no finished checkpoint or evaluation has such a name"),
        (["group=lr", "metrics=[train/CE los]"], "did you mean train/CE loss?"),
    ],
)
def test_mistakes(swept, arguments, message):
    tiny, _ = swept
    error = tiny("report", *arguments, status=2)
    assert len(error.splitlines()) == 1
    assert message in error
