"""Corpus to shards: no token lost, documents found both ways, the same bytes however many threads.

litdata itself reads them back.
"""

import hashlib
import json
import os
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from litdata import StreamingDataset, TokensLoader

from olmoflow.documents import Document, Intake, read_documents
from olmoflow.errors import UserError
from olmoflow.tokens.format import write_chunk
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.shards import ShardWriter, write_shards


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def expected_tokens(room):
    documents = read_documents(room.corpus, Intake())
    return [[*room.opened.encode(d.text), room.opened.eos_id] for d in documents]


def test_the_shards_hold_every_token_of_every_document_in_order(room):
    shards = TokenShards.open(room.shards)
    expected = expected_tokens(room)
    assert len(shards.chunks) >= 3
    assert shards.read(0, len(shards)).tolist() == list(chain(*expected))
    assert shards.vocab_size == room.opened.vocab_size == 600
    assert shards.dtype == np.uint16
    shards.verify_all()


def test_document_and_position_lead_to_each_other(room):
    shards = TokenShards.open(room.shards)
    expected = expected_tokens(room)
    table = shards.documents.to_pydict()
    position = 0
    for row, tokens in enumerate(expected):
        assert shards.document_span(row) == (position, position + len(tokens))
        assert shards.document_tokens(row).tolist() == tokens
        assert shards.document_at(position) == shards.document_at(position + len(tokens) - 1) == row
        assert (table["start"][row], table["tokens"][row]) == (position, len(tokens))
        text = room.opened.decode(tokens[:-1])
        assert table["bytes"][row] == len(text.encode())
        position += len(tokens)
    documents = list(read_documents(room.corpus, Intake()))
    assert table["id"] == [d.id for d in documents]
    assert table["source"] == [d.source for d in documents]


@pytest.mark.parametrize("workers", [2, 5])
def test_the_bytes_do_not_depend_on_the_number_of_workers(room, tmp_path, workers, monkeypatch):
    monkeypatch.setattr("olmoflow.tokens.shards._BATCH_BYTES", 20_000)  # so that there are many
    for name, number in (("one", 1), ("many", workers)):
        write_shards(
            room.corpus, room.tokenizer, tmp_path / name, num_workers=number, chunk_tokens=9000
        )
    assert digests(tmp_path / "one") == digests(tmp_path / "many")


def test_everything_is_on_the_disk_before_the_folder_has_its_name(room, tmp_path, monkeypatch):
    synced, fsync = set(), os.fsync

    def spied(descriptor):
        synced.add(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spied)
    write_shards(room.corpus, room.tokenizer, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} | {"out.partial"} <= synced


def test_the_table_of_documents_has_few_groups_of_rows_however_small_the_batches(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("olmoflow.tokens.shards._ROW_GROUP", 100)
    writer = ShardWriter(tmp_path, 600, 1000)
    for number in range(350):
        documents = [Document(f"{number}", "", "source", "path")]
        writer.add(documents, (np.zeros(7, np.uint32), np.array([7])), np.array([30]))
    writer.finish()
    assert parquet.ParquetFile(tmp_path / "documents.parquet").metadata.num_row_groups == 4
    shards = TokenShards.open(tmp_path)
    assert shards.documents["id"].to_pylist() == [str(number) for number in range(350)]
    assert shards.document_starts.tolist() == list(range(0, 2450, 7))


def test_litdata_reads_the_same_tokens(room):
    ours = TokenShards.open(room.shards)
    block = 64
    theirs = StreamingDataset(str(room.shards), item_loader=TokensLoader(block), shuffle=False)
    # litdata drops what is left of each chunk behind its last whole block.
    starts = [0, *ours.ends[:-1].tolist()]
    positions = [
        start + i * block
        for start, chunk in zip(starts, ours.chunks, strict=True)
        for i in range(chunk.tokens // block)
    ]
    assert len(theirs) == len(positions)
    for index, position in enumerate(positions):
        np.testing.assert_array_equal(np.asarray(theirs[index]), ours.read(position, block))


def test_large_vocabularies_take_four_bytes(tmp_path, room):
    path = tmp_path / "chunk-0-0.bin"
    chunk = write_chunk(path, [np.array([100_277, 5], np.uint32), np.array([70_000], np.uint32)])
    assert (chunk.documents, chunk.tokens) == (2, 3)
    raw = np.fromfile(path, np.uint32)
    assert raw.tolist() == [2, 16, 24, 28, 100_277, 5, 70_000]


def test_malformed_documents_are_counted_and_left_out(room, tmp_path):
    corpus = tmp_path / "a.jsonl"
    corpus.write_text('{"text": "good"}\nbad\n{"text": "good too"}\n')
    found = write_shards(corpus, room.tokenizer, tmp_path / "shards", max_error_rate=0.5)
    assert (found.documents, found.malformed, found.bytes) == (2, 1, len("goodgood too"))
    (error,) = (tmp_path / "shards" / "errors.jsonl").read_text().splitlines()
    assert json.loads(error)["line"] == 2
    assert TokenShards.open(tmp_path / "shards").documents["id"].to_pylist() == [
        "a.jsonl:1",
        "a.jsonl:3",
    ]


def test_too_many_malformed_documents_leave_no_shards_but_the_reasons(room, tmp_path):
    corpus = tmp_path / "a.jsonl"
    corpus.write_text('{"text": "good"}\nbad\n')
    with pytest.raises(UserError, match=r"a\.jsonl:2: malformed JSON.*1 of 2 documents"):
        write_shards(corpus, room.tokenizer, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
    assert (tmp_path / "shards.partial" / "errors.jsonl").is_file()
