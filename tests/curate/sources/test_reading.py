"""Files of every kind become documents of one schema, and what is damaged is set apart."""

import gzip
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import zstandard

from olmoflow.curate.sources.location import SourceFile, files_at, local_copy, marks
from olmoflow.curate.sources.reading import Reading, SourceUnit, read_unit, source_units
from olmoflow.curate.sources.table import tables
from olmoflow.documents import Intake
from olmoflow.errors import UserError


def read(tmp_path, *locations, max_error_rate=1.0, **reading):
    """All documents at locations, and the intake."""
    how = Reading(**reading)
    intake = Intake(max_error_rate, how.max_document_bytes)
    units = source_units([str(each) for each in locations], how)
    return [d for unit in units for d in read_unit(unit, how, intake, tmp_path)], intake


def line(**row):
    return json.dumps(row).encode() + b"\n"


def test_every_form_of_documents_gives_the_same_columns(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    row = {
        "id": "a", "text": "naïve", "url": "http://e.org/", "created": "2020-01-01",
        "license": "MIT",
        "metadata": {"WARC-Date": "2021"}, "score": 0.5,
    }  # fmt: skip
    (folder / "a.jsonl").write_bytes(line(**row))
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(line(**row)))
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(line(**row)))
    parquet.write_table(pa.Table.from_pylist([row]), folder / "d.parquet")
    as_text = {**row, "metadata": json.dumps(row["metadata"])}
    parquet.write_table(pa.Table.from_pylist([as_text]), folder / "e.parquet")
    (folder / "f.jsonl").write_bytes(b"")
    (folder / "ignored.md").write_text("documentation of the data")
    documents, intake = read(tmp_path, folder)
    assert intake.documents == 5
    (table,) = tables(documents, "given")
    for got in table.to_pylist():
        assert json.loads(got.pop("metadata")) == {"WARC-Date": "2021", "score": 0.5}
        assert got == {
            "id": "a", "text": "naïve", "source": "given", "url": "http://e.org/", "path": "",
            "created": "2020-01-01", "license": "MIT",
        }  # fmt: skip


def test_addresses_and_dates_of_crawls_are_found_in_the_metadata(tmp_path):
    metadata = {"WARC-Target-URI": "http://e.org/x", "warc_date": "2022"}
    (tmp_path / "a.jsonl").write_bytes(line(text="x", metadata=metadata))
    documents, _ = read(tmp_path, tmp_path / "a.jsonl")
    (table,) = tables(documents)
    (row,) = table.to_pylist()
    assert (row["url"], row["created"]) == ("http://e.org/x", "2022")


def test_what_a_cut_archive_still_holds_is_read(tmp_path):
    whole = zstandard.compress(b"".join(line(text=f"{n} " + "x y z " * n) for n in range(3000)))
    (tmp_path / "a.jsonl.zst").write_bytes(whole[: len(whole) * 3 // 4])
    documents, intake = read(tmp_path, tmp_path / "a.jsonl.zst")
    assert 500 < len(documents) < 3000
    assert [d.text.split()[0] for d in documents] == [str(n) for n in range(len(documents))]
    (error,) = intake.malformed
    assert error.line == len(documents) + 1
    assert error.reason.startswith("the file is cut or damaged from here on")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_of_200_mb_is_set_apart_without_being_held(tmp_path, suffix):
    path = tmp_path / f"a.jsonl{suffix}"
    opened = {"": open, ".gz": gzip.open, ".zst": zstandard.open}[suffix]
    with opened(path, "wb") as file:
        file.write(line(id="before", text="x"))
        file.write(b'{"text": "')
        for _ in range(200):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n')
        file.write(line(id="after", text="y"))
    tracemalloc.start()
    documents, intake = read(tmp_path, path, max_document_bytes=10_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [d.id for d in documents] == ["before", "after"]
    (error,) = intake.malformed
    assert error.line == 2
    assert error.reason == (
        "a line of 200,000,012 bytes, more than max_document_bytes=10,000,000 allows"
    )
    # A kilobyte of this zstd becomes 22 MB at once, of which a few copies are there for a moment.
    assert peak < 120_000_000


def test_damaged_documents_are_told_by_file_line_and_reason(tmp_path):
    rows = [
        line(text="good"), line(text="a\0b"), b'{"text": "cut\n', b'{"text": "\xff"}\n', b"[1]\n",
        line(text=""), line(id="no text"), line(text="z" * 2000), line(text="good too"),
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"".join(rows))
    documents, intake = read(tmp_path, tmp_path / "a.jsonl", max_document_bytes=1000)
    assert [d.text for d in documents] == ["good", "good too"]
    assert [e.line for e in intake.malformed] == [2, 3, 4, 5, 6, 7, 8]
    reasons = " | ".join(e.reason for e in intake.malformed)
    for part in ("NUL character", "malformed JSON", "invalid UTF-8", "expected an object"):
        assert part in reasons


def test_units_depend_on_the_files_alone(tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.jsonl").write_bytes(line(text="x" * 80))
    units = source_units([str(tmp_path)], Reading(), unit_bytes=300)
    assert [[f.name for f in u.files] for u in units] == [
        [f"{n}.jsonl" for n in range(start, min(start + 3, 10))] for start in range(0, 10, 3)
    ]
    (sparse := tmp_path / "sparse").mkdir()
    for number in range(10):
        with (sparse / f"{number}.jsonl").open("wb") as file:
            file.truncate(3 << 20)
    # 30 MiB are work for several cores.
    assert [len(u.files) for u in source_units([str(sparse)], Reading())] == [1] * 10
    with pytest.raises(UserError, match=r"expected files that end in \.warc"):
        source_units([str(tmp_path)], Reading(kind="warc"))
    with pytest.raises(UserError, match="no such file or folder"):
        source_units([str(tmp_path / "nowhere")], Reading())


def test_text_files_count_only_where_there_is_nothing_else(tmp_path, capfd):
    (tmp_path / "a.md").write_text("# a")
    (tmp_path / "b.txt").write_bytes(b"b \xff")
    documents, intake = read(tmp_path, tmp_path)
    assert [d.text for d in documents] == ["# a"]
    assert len(intake.malformed) == 1
    assert capfd.readouterr().err == ""
    (tmp_path / "page.html").write_text("<p>A page</p>")
    assert [d.text for d in read(tmp_path, tmp_path)[0]] == ["A page"]
    assert "a.md and 1 more are not read" in capfd.readouterr().err


def test_other_storages_are_read_through_copies(tmp_path):
    import fsspec

    storage = fsspec.filesystem("memory")
    storage.pipe("/bucket/x/a.jsonl", line(text="a"))
    storage.pipe("/bucket/x/sub/b.jsonl.gz", gzip.compress(line(text="b")))
    files = files_at("memory://bucket/x")
    assert [f.name for f in files] == ["a.jsonl", "sub/b.jsonl.gz"]
    documents, _ = read(tmp_path, "memory://bucket/x")
    assert [(d.id, d.text) for d in documents] == [("a.jsonl:1", "a"), ("sub/b.jsonl.gz:1", "b")]
    assert not list(tmp_path.iterdir())
    before = marks(files)
    storage.pipe("/bucket/x/a.jsonl", line(text="other"))
    assert marks(files_at("memory://bucket/x")) != before
    with pytest.raises(UserError, match="source=memory://bucket/none: no file there"):
        files_at("memory://bucket/none")
    gone = SourceFile("memory://bucket/gone.jsonl", "gone.jsonl")
    with pytest.raises(UserError, match=r"gone\.jsonl: cannot be read"), local_copy(gone, tmp_path):
        pass
    with pytest.raises(UserError, match=r"source=no-such://x: "):
        files_at("no-such://x")


def test_a_dataset_of_the_hub_is_read_from_its_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    root = tmp_path / "hub" / "datasets--allenai--dolma3_mix-6T-1025"
    snapshot = root / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    (snapshot / "data" / "common_crawl-art").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(snapshot.name)
    (root / "blobs").mkdir()
    (root / "blobs" / "x").write_bytes(zstandard.compress(line(id="d", text="art")))
    (snapshot / "data" / "common_crawl-art" / "0.jsonl.zst").symlink_to(root / "blobs" / "x")
    (snapshot / "README.md").write_text("# Dolma 3")
    documents, _ = read(tmp_path, "hf:allenai/dolma3_mix-6T-1025")
    assert [(d.id, d.source) for d in documents] == [("d", "data/common_crawl-art")]
    documents, _ = read(tmp_path, "hf:allenai/dolma3_mix-6T-1025@main:data/*art/*")
    assert len(documents) == 1
    for location, message in (
        ("hf:allenai/dolma3_mix-6T-1025:data/*sports*", "no file matches"),
        ("hf:dolma", r"expected hf:OWNER/REPO"),
        ("hf:allenai/none", "not in the local cache of the Hub"),
    ):
        with pytest.raises(UserError, match=message):
            files_at(location)


def test_a_large_document_is_a_batch_of_its_own():
    from olmoflow.documents import Document

    documents = [Document(str(n), "x" * size, "s") for n, size in enumerate([10, 10, 500, 10])]
    assert [len(t) for t in tables(documents, batch_bytes=100)] == [3, 1]
    assert list(tables([])) == []


def test_a_unit_of_another_storage_can_be_pickled_as_plain_values():
    unit = SourceUnit("documents", (SourceFile("memory://a", "a", 3, "m"),))
    from dataclasses import asdict

    again = asdict(unit)
    assert SourceUnit(again["kind"], tuple(SourceFile(**f) for f in again["files"])) == unit
