"""Documents in: every format, in a fixed order, and what is malformed named and counted."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import zstandard

from olmoflow.documents import Intake, document_files, read_documents
from olmoflow.errors import UserError

GOOD = [{"id": f"d{i}", "text": f"text {i}", "source": "s", "path": "p"} for i in range(200)]


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def read(path, **kwargs):
    intake = Intake(**kwargs)
    return list(read_documents(path, intake)), intake


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_every_format_gives_the_same_documents(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    data = jsonl(GOOD)
    if suffix == ".jsonl.gz":
        # Several members, as `cat a.gz b.gz` makes.
        data = gzip.compress(data[:1000]) + gzip.compress(data[1000:])
    if suffix == ".jsonl.zst":
        packed = zstandard.ZstdCompressor()
        data = packed.compress(data[:1000]) + packed.compress(data[1000:])
    if suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(GOOD), path)
    else:
        path.write_bytes(data)
    documents, intake = read(path)
    assert [(d.id, d.text, d.source, d.path) for d in documents] == [
        tuple(row.values()) for row in GOOD
    ]
    assert intake.documents == 200
    assert intake.file_bytes == path.stat().st_size


def test_a_folder_is_read_by_name_and_gives_ids_and_sources_to_those_without(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "b.jsonl").write_text('{"text": "one"}\n\n{"text": "two", "id": 0}')
    (tmp_path / "web" / "a.jsonl.gz").write_bytes(gzip.compress(b'{"text": "three"}\n'))
    (tmp_path / "notes.txt").write_text("no documents")
    documents, _ = read(tmp_path)
    assert [(d.id, d.source, d.text) for d in documents] == [
        ("b.jsonl:1", "b", "one"),
        ("0", "b", "two"),
        ("web/a.jsonl.gz:1", "web", "three"),
    ]


def test_text_files_are_documents_where_there_is_nothing_else(tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.txt").write_text("\ufeffone\ntwo\n")
    (tmp_path / "b.md").write_text("# three")
    (tmp_path / "c.txt").write_bytes(b"fine\n\xff")
    documents, intake = read(tmp_path, max_error_rate=1)
    assert [(d.id, d.source, d.text) for d in documents] == [
        ("b.md:1", "b", "# three"),
        ("books/a.txt:1", "books", "one\ntwo\n"),
    ]
    (malformed,) = intake.malformed
    assert (malformed.line, malformed.reason) == (2, "invalid UTF-8 at byte 5 of the file")
    assert [d.text for d in read(tmp_path / "b.md")[0]] == ["# three"]
    (tmp_path / "d.jsonl").write_text('{"text": "four"}')
    assert [d.text for d in read(tmp_path)[0]] == ["four"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a', "malformed JSON: Unterminated string starting at at column 10"),
        (b'{"text": "\xff\xfe"}', "invalid UTF-8 at byte 10 of the line"),
        (b'{"text": ""}', "the text is empty"),
        (b'{"text": null}', "no text, expected a string"),
        (b'{"body": "a"}', "no text, expected a string"),
        (b'{"text": 7}', "text is int, expected a string"),
        (b'["text"]', "expected an object, found list"),
        (rb'{"text": "\ud800"}', "the text is not valid UTF-8"),
        (rb'{"text": "a\u0000b"}', "the text has a NUL character"),
        (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "malformed JSON: Exceeds the limit"),
        (b"[" * 100_000, "malformed JSON: nested too deeply"),
    ],
)
def test_a_malformed_line_is_named_and_set_apart(tmp_path, line, reason):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(GOOD[:150]) + line + b"\n" + jsonl(GOOD[150:]))
    documents, intake = read(path, max_error_rate=0.1)
    assert [d.id for d in documents] == [row["id"] for row in GOOD]
    (malformed,) = intake.malformed
    assert (malformed.file, malformed.line) == (str(path), 151)
    assert malformed.reason.startswith(reason)
    intake.write(tmp_path / "out")
    (row,) = (tmp_path / "out" / "errors.jsonl").read_text().splitlines()
    assert json.loads(row) == {"file": str(path), "line": 151, "reason": malformed.reason}
    with pytest.raises(UserError) as error:
        read(path, max_error_rate=0.001)
    message = str(error.value)
    assert message.startswith(f"{path}:151: {reason}")
    assert message.endswith(
        f"; 1 of {len(GOOD) + 1} documents are malformed, more than max_error_rate=0.001 allows"
    )
    assert "\n" not in message


def test_a_malformed_line_near_the_beginning_is_judged_by_all_that_follow(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"id": str(number), "text": "a text"} for number in range(1100)]
    path.write_bytes(jsonl(rows[:150]) + b"{\n" + jsonl(rows[150:]))
    documents, intake = read(path, max_error_rate=0.001)
    assert (len(documents), len(intake.malformed)) == (1100, 1)


def test_what_is_wrong_throughout_ends_early(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{\n" * 500)
    with pytest.raises(UserError, match="11 of 11 documents are malformed"):
        read(path, max_error_rate=0.001)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_invalid_utf8_in_parquet_costs_one_document(tmp_path, kind):
    wide = pa.binary() if kind == pa.string() else pa.large_binary()
    column = pa.array([b"fine", b"\xff\xfe", b"also fine"], wide).view(kind)
    table = pa.table({"text": column, "id": pa.array([b"\xe9", b"b", b"c"]).view(pa.string())})
    parquet.write_table(table, tmp_path / "a.parquet")
    documents, intake = read(tmp_path, max_error_rate=1)
    assert [(d.id, d.text) for d in documents] == [("?", "fine"), ("c", "also fine")]
    assert [(m.line, m.reason) for m in intake.malformed] == [(2, "the text is not valid UTF-8")]


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_the_rest_of_a_cut_file_is_one_malformed_document(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(GOOD), path)
    else:
        pack = gzip.compress if suffix == ".jsonl.gz" else zstandard.compress
        path.write_bytes(pack(jsonl(GOOD)))
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "b.jsonl").write_bytes(jsonl(GOOD))
    _, intake = read(tmp_path, max_error_rate=1)
    (malformed,) = intake.malformed
    assert malformed.file == str(path)
    assert "cut or damaged" in malformed.reason
    assert intake.documents >= 200


def test_text_beside_rows_is_left_out_with_a_word(tmp_path, capfd):
    (tmp_path / "a.jsonl").write_bytes(jsonl(GOOD))
    (tmp_path / "README.md").write_text("what this is")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "one.txt").write_text("a note")
    documents, _ = read(tmp_path)
    assert len(documents) == len(GOOD)
    read(tmp_path)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"olmoflow: {tmp_path}: README.md and 1 more are not read")
    documents, _ = read(tmp_path / "notes")
    assert [d.text for d in documents] == ["a note"]
    assert capfd.readouterr().err == ""


def test_an_empty_corpus_and_a_missing_one_are_told_apart(tmp_path):
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(UserError, match="the corpus is empty; expected at least one document"):
        read(tmp_path)
    with pytest.raises(UserError, match=r"expected files that end in \.jsonl"):
        document_files(tmp_path / "nowhere")
    parquet.write_table(pa.table({"body": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(UserError, match="no column text; expected one, found body"):
        read(tmp_path / "b.parquet")
