"""Random access to shards; damage is named before use."""

import json
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.errors import UserError
from olmoflow.tokens.reader import TokenShards


@pytest.fixture
def copy(room, tmp_path):
    return shutil.copytree(room.shards, tmp_path / "shards")


def test_any_range_is_the_same_part_of_the_whole(room):
    shards = TokenShards.open(room.shards)
    whole = shards.read(0, len(shards))
    eos = room.opened.eos_id

    @settings(max_examples=200)
    @given(data=st.data())
    def check(data):
        start = data.draw(st.integers(0, len(shards) - 1))
        length = data.draw(st.integers(1, len(shards) - start))
        part = whole[start : start + length]
        np.testing.assert_array_equal(shards.read(start, length), part)
        # A document ends with its end-of-text token, and only there.
        ends = np.cumsum(part == eos)
        np.testing.assert_array_equal(
            shards.document_ids(start, length), np.concatenate([[0], ends[:-1]])
        )

    check()
    # Ranges that end or start exactly at the borders of chunks.
    for end in shards.ends[:-1].tolist():
        np.testing.assert_array_equal(shards.read(end - 5, 10), whole[end - 5 : end + 5])
        np.testing.assert_array_equal(shards.read(end, 3), whole[end : end + 3])
        assert shards.document_ids(end - 5, 5).max() == (whole[end - 5 : end - 1] == eos).sum()


@pytest.mark.parametrize(("start", "length"), [(-1, 2), (0, 10**9)])
def test_a_range_beyond_the_ends_is_an_error(room, start, length):
    with pytest.raises(IndexError):
        TokenShards.open(room.shards).read(start, length)


def test_a_truncated_chunk_is_named(copy):
    chunk = copy / "chunk-0-1.bin"
    size = chunk.stat().st_size
    chunk.write_bytes(chunk.read_bytes()[:-2])
    shards = TokenShards.open(copy)
    shards.read(0, 10)  # the first chunk is sound
    message = rf"{chunk}: damaged, {size - 2:,} bytes found, {size:,} expected"
    with pytest.raises(UserError, match=message):
        shards.read(int(shards.ends[0]), 1)
    with pytest.raises(UserError, match=message):
        shards.verify_all()


@pytest.mark.parametrize("name", ["chunk-0-1.bin", "documents.parquet", "index.json"])
def test_a_flipped_bit_is_named(copy, name):
    path = copy / name
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"{path}: damaged, its sha256 is not the recorded one"):
        TokenShards.open(copy).verify_all()
    if name.startswith("chunk"):
        shards = TokenShards.open(copy)
        with pytest.raises(UserError, match=f"{path}: damaged"):
            shards.document_ids(int(shards.ends[0]), 5)
        with pytest.raises(UserError, match=f"{path}: damaged"):
            shards.read(int(shards.ends[0]) - 1, 2)


def test_missing_files_are_named(copy):
    (copy / "chunk-0-2.bin").unlink()
    with pytest.raises(UserError, match=r"chunk-0-2\.bin: No such file.*expected a folder"):
        TokenShards.open(copy).verify_all()
    (copy / "digests.json").write_text("[]")
    with pytest.raises(UserError, match=r"digests\.json: damaged; expected the sha256"):
        TokenShards.open(copy)
    with pytest.raises(UserError, match=r"nowhere/digests\.json: No such file"):
        TokenShards.open(copy / "nowhere")


def test_another_kind_of_index_is_refused(copy):
    index = json.loads((copy / "index.json").read_text())
    index["config"]["data_format"] = ["jpeg"]
    (copy / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json: damaged"):
        TokenShards.open(copy)
    with pytest.raises(UserError, match="data_format=jpeg: expected chunks of a TokensLoader"):
        TokenShards.open(copy, verify=False)


def test_shards_go_to_another_process(room):
    shards = TokenShards.open(room.shards)
    shards.read(0, 5)
    again = pickle.loads(pickle.dumps(shards))
    np.testing.assert_array_equal(again.read(3, 500), shards.read(3, 500))


def test_more_chunks_than_are_kept_open(room, tmp_path):
    from olmoflow.tokens.shards import write_shards

    write_shards(room.corpus, room.tokenizer, tmp_path / "many", chunk_tokens=300)
    many, few = TokenShards.open(tmp_path / "many"), TokenShards.open(room.shards)
    assert len(many.chunks) > 64
    order = np.random.default_rng(0).permutation(len(many) - 50)[:2000]
    for start in order.tolist():
        np.testing.assert_array_equal(many.read(start, 50), few.read(start, 50))
