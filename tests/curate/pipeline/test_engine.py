"""A pipeline from files to a corpus: exact counts, resumed work, errors told in one line."""

import json

import pytest

from olmoflow.curate.pipeline.engine import Pipeline, run_pipeline
from olmoflow.errors import UserError


@pytest.fixture
def two_files(write):
    write("a.jsonl", [{"id": f"a{n}", "text": "x" * n + " y"} for n in range(1, 60)])
    write("b/b.jsonl", [
        {"id": f"b{n}", "text": f"text {n % 30}", "url": "http://e.org", "license": "MIT",
         "created": "2024-01-02", "more": n, "metadata": {"deep": {"k": n}}}
        for n in range(60)
    ])  # fmt: skip
    return write("c.jsonl", []).parent


def test_steps_count_exactly_what_they_do(steps, two_files, tmp_path, corpus_rows, files_of):
    pipeline = Pipeline(
        steps({"name": "longer", "lower_bound": 7}, "score", "first_of_text", "upper"),
        (str(two_files),),
        heldout_fraction=0.1,
    )
    result = run_pipeline(pipeline, tmp_path / "corpus", workers=2)
    rows = corpus_rows(tmp_path / "corpus")
    # a: 2 + n bytes, so n >= 5; b: "text n", 6 bytes for one digit, so n % 30 >= 10, each twice.
    assert len(rows) == 55 + 20
    read, longer, score, first, upper = result.accounts
    assert (read.label, read.before.documents, read.after.documents) == ("read", 119, 119)
    assert (longer.before.documents, longer.after.documents) == (119, 95)
    assert longer.reasons == {"longer": 24}
    assert (score.before.documents, score.after.documents) == (95, 95)
    assert (first.before.documents, first.after.documents) == (95, 75)
    assert first.reasons == {"seen before": 20}
    assert len(first.samples) == 20
    assert {s.reason for s in first.samples} == {"seen before"}
    assert upper.after.bytes == sum(len(r["text"]) for r in rows.values())
    assert upper.after.words == 2 * 75
    assert sum(result.documents.values()) == 75
    assert set(result.documents) == {"train", "heldout"}
    assert result.figures["first_of_text"]["texts"] == 75
    b15 = rows["b15"]
    assert b15.pop("split") in ("train", "heldout")
    assert b15 == {
        "id": "b15", "text": "TEXT 15", "source": "b", "url": "http://e.org", "license": "MIT",
        "created": "2024-01-02",
        "metadata": {"deep": {"k": 15}, "more": 15, "quality": {"score": 0.5}, "first": True},
    }  # fmt: skip
    assert not (tmp_path / "corpus" / "work").exists()
    # One shard a unit, in the same place whatever the workers.
    again = run_pipeline(pipeline, tmp_path / "again", workers=1)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "corpus")
    assert [a.samples for a in again.accounts] == [a.samples for a in result.accounts]


def test_errors_are_set_apart_and_judged_over_all_units(steps, write, tmp_path):
    source = write("a.jsonl", [{"id": f"a{n}", "text": f"t{n}"} for n in range(150)]).parent
    (source / "b.jsonl").write_text('{"text": "no!", "id": "b"}\n{"text"\n{"text": "yes"}\n')
    pipeline = Pipeline(steps("picky"), (str(source),), max_error_rate=0.02)
    result = run_pipeline(pipeline, tmp_path / "corpus", workers=1)
    assert sum(result.documents.values()) == 151
    assert result.errors == 2
    (file,) = (tmp_path / "corpus" / "errors").iterdir()
    malformed, unworkable = map(json.loads, file.read_text().splitlines())
    assert (malformed["line"], malformed["file"]) == (2, str(source / "b.jsonl"))
    assert unworkable == {"step": "picky", "id": "b", "reason": "exclaims"}
    strict = Pipeline(steps("picky"), (str(source),), max_error_rate=0.01)
    with pytest.raises(UserError, match=r"b\.jsonl:2: malformed JSON.*; 2 of 153 documents"):
        run_pipeline(strict, tmp_path / "strict", workers=1)
    assert (tmp_path / "strict" / "errors").is_dir()
