"""Ids, hashes and samples depend on the document alone."""

from uuid import UUID

import numpy as np
import pytest
import xxhash

TEXTS = [f"text number {i}" for i in range(4000)]


def test_ids_do_not_depend_on_how_documents_are_cut_into_batches(outcome, documents):
    table = documents(TEXTS[:10])
    ids = outcome("add_id", table).documents.column("id").to_pylist()
    assert len(set(ids)) == 10
    assert all(UUID(i).version == 4 for i in ids)
    later = outcome("add_id", table.slice(6)).documents.column("id").to_pylist()
    assert later == ids[6:]
    other = outcome("add_id", table, seed=1, id_key="metadata.id").documents
    assert not set(other.column("metadata.id").to_pylist()) & set(ids)
    assert other.column("id").to_pylist() == table.column("id").to_pylist()


def test_the_same_text_from_elsewhere_has_another_id(outcome, documents):
    ids = outcome("add_id", documents(["same", "same"])).documents.column("id").to_pylist()
    assert ids[0] != ids[1]


def test_a_part_of_the_documents_stays(outcome, documents):
    table = documents(TEXTS)
    keep = outcome("subsample", table, subsample_rate=0.3).keep
    assert abs(keep.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(TEXTS))
    again = outcome("subsample", table.slice(1000), subsample_rate=0.3).keep
    assert again.tolist() == keep[1000:].tolist()
    # Of a larger part, the smaller one is a part; of another seed, it is not.
    more = outcome("subsample", table, subsample_rate=0.6).keep
    assert not (keep & ~more).any()
    other = outcome("subsample", table, subsample_rate=0.3, seed=7).keep
    assert 0.05 < (keep & other).mean() < 0.13
    assert outcome("subsample", table).keep.all()
    assert not outcome("subsample", table, subsample_rate=0).keep.any()


@pytest.mark.parametrize("bits", [64, 128])
def test_hashes_are_those_of_xxh3(outcome, bits):
    texts = ["", "a", "日本" * 300, None]
    after = outcome("hash_annotator", texts, num_bits=bits).documents
    hashed = xxhash.xxh3_64_intdigest if bits == 64 else xxhash.xxh3_128_intdigest
    expected = [hashed((text or "").encode()) for text in texts]
    if bits == 128:  # more than a number of JSON holds
        expected = list(map(str, expected))
    assert after.column("metadata.text_hash").to_pylist() == expected


def test_published_hashes():
    # XXH3's own values for the empty input.
    assert xxhash.xxh3_64_hexdigest(b"") == "2d06800538d394c2"
    assert xxhash.xxh3_128_hexdigest(b"") == "99aa06d3014798d86001c324468d497f"
