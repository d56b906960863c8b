"""Parquet read by columns says what it says when it is read by rows."""

import datetime

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.conversations.row import read_rows
from olmoflow.curate.sources.columns import parquet_tables, unit_tables
from olmoflow.curate.sources.reading import Reading, source_units
from olmoflow.curate.sources.table import tables
from olmoflow.documents import Intake

SOUND = [f"text {n} é\n" for n in range(600)]
FAULTS = {
    "none": [*SOUND[:300], None, *SOUND[300:]],
    "empty": ["", *SOUND],
    "nul": [*SOUND, "a\0b"],
    "long": [*SOUND[:599], "x" * 2000],
    "no UTF-8": [*SOUND[:5], b"\xff\xfe", *SOUND[5:]],
}


def both_ways(file, source=None):
    """Tables, documents and complaints: by columns, by rows."""
    found = []
    for read in (
        lambda intake: parquet_tables(file, "in/x.parquet", intake, source),
        lambda intake: tables(read_rows(file, "in/x.parquet", intake), source),
    ):
        intake = Intake(max_error_rate=1, max_document_bytes=1000)
        table = pa.concat_tables(read(intake)).combine_chunks()
        found.append((table, intake.documents, intake.malformed))
    return found


def written(tmp_path, **columns):
    file = tmp_path / "x.parquet"
    parquet.write_table(pa.table(columns), file, row_group_size=250)
    return file


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_whatever_a_row_says_beside_its_text(tmp_path, kind):
    rows = len(SOUND)
    file = written(
        tmp_path,
        text=pa.array(SOUND, kind),
        id=[None if n % 3 else f"id{n}" for n in range(rows)],
        url=["http://e.org" if n % 2 else None for n in range(rows)],
        score=[n / 7 for n in range(rows)],
        warc_date=[datetime.datetime(2024, 1, 2)] * rows,
        metadata=['{"warc_url": "http://w.org", "a": [1]}' if n % 5 else "" for n in range(rows)],
    )
    for source in (None, "given"):
        by_columns, by_rows = both_ways(file, source)
        assert by_columns == by_rows
        assert by_columns[1] == rows
    assert by_columns[0].column("source")[0].as_py() == "given"


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_by_row(tmp_path, fault):
    texts = [t.encode() if isinstance(t, str) else t for t in FAULTS[fault]]
    column = pa.array(texts, pa.binary())
    column = pa.Array.from_buffers(pa.string(), len(column), column.buffers())  # unchecked
    by_columns, by_rows = both_ways(written(tmp_path, text=column))
    assert by_columns == by_rows
    assert len(by_columns[2]) == 1


def test_a_damaged_file_is_told_once(tmp_path):
    file = written(tmp_path, text=SOUND)
    data = bytearray(file.read_bytes())
    data[200:1200] = b"\xff" * 1000
    file.write_bytes(data)
    intake = Intake(max_error_rate=1)
    assert list(parquet_tables(file, file.name, intake)) == []
    (malformed,) = intake.malformed
    assert "cut or damaged from here on" in malformed.reason


def test_numbers_for_texts_and_turns_are_left_to_the_rows(tmp_path):
    parquet.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    turns = [[{"role": "user", "content": "hello"}]]
    parquet.write_table(pa.table({"messages": turns, "text": [""]}), tmp_path / "b.parquet")
    (unit,) = source_units([str(tmp_path)], Reading())
    intake = Intake(max_error_rate=1)
    (table,) = unit_tables(unit, Reading(), intake, tmp_path)
    assert table.column("text").to_pylist() == ["hello"]
    assert [m.reason for m in intake.malformed] == ["text is int, expected a string"] * 2


def test_small_batches_become_large_ones(tmp_path):
    written(tmp_path, text=SOUND * 10)
    (unit,) = source_units([str(tmp_path)], Reading())
    found = [len(t) for t in unit_tables(unit, Reading(), Intake(), tmp_path)]
    assert sum(found) == 6000
    assert max(found) >= 4096
