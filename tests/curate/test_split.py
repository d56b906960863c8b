"""A user's own documents: split by their text, malformed ones set apart."""

import json
import tracemalloc

import pytest
import zstandard

from olmoflow.curate.split import split_documents
from olmoflow.errors import UserError


def write(path, texts):
    path.write_text("".join(json.dumps({"id": f"d{t}", "text": t}) + "\n" for t in texts))


def read(folder):
    rows = []
    for file in sorted(folder.glob("*.jsonl.zst")):
        with zstandard.open(file, "rt", encoding="utf-8") as stream:
            rows += [json.loads(line) for line in stream]
    return rows


def split(tmp_path, name, texts, **kwargs):
    write(tmp_path / f"{name}.jsonl", texts)
    found = split_documents(tmp_path / f"{name}.jsonl", tmp_path / name, **kwargs)
    parts = {s: [r["text"] for r in read(tmp_path / name / s)] for s in ("train", "heldout")}
    return found, parts


def test_every_document_goes_to_one_side_in_its_order(tmp_path):
    texts = [f"naïve text {i}" for i in range(1000)]
    found, parts = split(tmp_path, "a", texts, heldout_fraction=0.1)
    assert sorted(parts["train"] + parts["heldout"]) == sorted(texts)
    assert all(part == sorted(part, key=texts.index) for part in parts.values())
    assert 60 <= len(parts["heldout"]) <= 140
    assert found.documents == {name: len(part) for name, part in parts.items()}
    assert found.bytes == {n: sum(len(t.encode()) for t in part) for n, part in parts.items()}
    row = read(tmp_path / "a" / "train")[0]
    assert set(row) == {"id", "text", "source", "path", "license"}


def test_a_document_stays_where_it_is_when_others_come(tmp_path):
    texts = [f"text {i}" for i in range(300)]
    _, few = split(tmp_path, "few", texts, heldout_fraction=0.2)
    _, many = split(tmp_path, "many", [f"new {i}" for i in range(99)] + texts, heldout_fraction=0.2)
    assert set(few["heldout"]) <= set(many["heldout"])
    _, larger = split(tmp_path, "larger", texts, heldout_fraction=0.4)
    assert set(few["heldout"]) < set(larger["heldout"])
    _, other = split(tmp_path, "other", texts, heldout_fraction=0.2, seed=1)
    assert set(other["heldout"]) != set(few["heldout"])


def test_copies_are_never_on_both_sides(tmp_path):
    _, parts = split(tmp_path, "a", [f"text {i % 50}" for i in range(500)], heldout_fraction=0.3)
    assert parts["heldout"]
    assert not set(parts["train"]) & set(parts["heldout"])


def test_malformed_documents_are_set_apart(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, map(str, range(20)))
    path.write_bytes(path.read_bytes() + b'{"text": "\xff"}\n')
    found = split_documents(path, tmp_path / "out", max_error_rate=0.1, heldout_fraction=0)
    assert (found.malformed, found.documents) == (1, {"train": 20})
    (row,) = map(json.loads, (tmp_path / "out" / "errors.jsonl").read_text().splitlines())
    assert (row["file"], row["line"]) == (str(path), 21)
    with pytest.raises(UserError, match=r"a\.jsonl:21: invalid UTF-8 .* max_error_rate=0\.001"):
        split_documents(path, tmp_path / "strict")
    assert (tmp_path / "strict" / "errors.jsonl").is_file()


def test_a_line_that_is_too_long_is_set_apart_and_never_held(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    row = b'{"text": "fine"}\n'
    endless = b'{"text": "' + b"x" * 200_000_000 + b'"}\n'
    path.write_bytes(zstandard.compress(row + endless + row.replace(b"fine", b"good")))
    settings = {"max_document_bytes": 10_000_000, "max_error_rate": 0.5, "heldout_fraction": 0}
    tracemalloc.start()
    found = split_documents(path, tmp_path / "out", **settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.malformed, found.documents) == (1, {"train": 2})
    (error,) = map(json.loads, (tmp_path / "out" / "errors.jsonl").read_text().splitlines())
    assert error["line"] == 2
    assert "more than max_document_bytes=10,000,000 allows" in error["reason"]
    assert peak < 120_000_000  # a kilobyte of zstd becomes 22 MB at once
    with pytest.raises(UserError, match="max_document_bytes=0: expected above 0"):
        split_documents(path, tmp_path / "none", max_document_bytes=0)


def test_ids_that_come_twice_are_made_unique(tmp_path):
    given = ["a", "a", "a#2", "b", "a", "a#3"]
    rows = [json.dumps({"id": i, "text": f"text {n}"}) for n, i in enumerate(given)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows))
    found = split_documents(tmp_path / "in.jsonl", tmp_path / "out", heldout_fraction=0)
    ids = [row["id"] for row in read(tmp_path / "out" / "train")]
    assert ids == ["a", "a#2", "a#2#2", "b", "a#3", "a#3#2"]
    assert found.duplicate_ids == 4


def test_mistakes_are_told_in_one_line(tmp_path):
    with pytest.raises(UserError, match="heldout_fraction=1: expected 0 or more, below 1"):
        split_documents(tmp_path, tmp_path / "out", heldout_fraction=1)
    with pytest.raises(UserError, match=r"expected files that end in \.jsonl"):
        split_documents(tmp_path, tmp_path / "out")
    write(tmp_path / "a.jsonl", ["only one"])
    with pytest.raises(UserError, match=r"a\.jsonl: all 1 documents are held out; expected more"):
        split_documents(tmp_path / "a.jsonl", tmp_path / "out", heldout_fraction=0.99999)
