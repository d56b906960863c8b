"""The work cut up: every document once, in order, and errors that arrive as they were raised."""

import functools
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.dedup import pieces
from olmoflow.curate.dedup.tasks import spread


def _square(refused, place):
    if place == refused:
        raise OSError(28, "No space left on device")
    return place * place


def test_results_are_in_order_and_progress_is_told():
    told = []
    results = spread(
        functools.partial(_square, -1), 20, lambda done, all_: told.append((done, all_))
    )
    assert results == [place * place for place in range(20)]
    assert told == [(done, 20) for done in range(1, 21)]
    assert spread(functools.partial(_square, -1), 0) == []


def test_an_error_arrives_as_it_was_raised():
    with pytest.raises(OSError, match="No space left on device"):
        spread(functools.partial(_square, 7), 20)


def test_pieces_number_every_document_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1)
    shards, texts = [], []
    for number, rows in enumerate([5, 0, 3]):
        own = [f"{number}-{row}" for row in range(rows)]
        shards.append(tmp_path / f"{number}.parquet")
        table = pa.table({"text": pa.array(own, pa.large_string()), "metadata": ["{}"] * rows})
        table = table.append_column("metadata.x", pa.array(range(rows), pa.int64()))
        parquet.write_table(table, shards[-1], row_group_size=2)
        texts += own
    cut = pieces.pieces_of(shards)
    assert [piece.rows for piece in cut] == [2, 2, 1, 2, 1]
    assert pieces.shard_rows(shards).tolist() == [0, 5, 5, 8]
    found = {}
    for piece in cut:
        for first, documents in piece.batches(["text", "metadata.x"]):
            column = documents.column("text").to_pylist()
            found |= {first + row: text for row, text in enumerate(column)}
            numbers = [int(text[2:]) for text in column]
            assert documents.column("metadata.x").to_pylist() == numbers
    assert found == dict(enumerate(texts))


def test_naming_the_stages_imports_neither_numba_nor_daft():
    """Help and lists of operations come at once."""
    code = (
        "import sys, olmoflow.curate.dedup; print({'numba', 'daft', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
