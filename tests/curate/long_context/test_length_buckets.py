"""Buckets of lengths, by counted and by estimated tokens."""

import pyarrow as pa
import pytest

from olmoflow.curate.long_context.length_buckets import LengthBuckets
from olmoflow.errors import UserError


def table(lengths, texts=None):
    return pa.table(
        {
            "id": [str(n) for n in range(len(lengths))],
            "text": texts or ["x"] * len(lengths),
            "metadata": [None] * len(lengths),
            "metadata.tokens": lengths,
        }
    )


def test_documents_get_the_bucket_of_their_tokens():
    lengths = [8191, 8192, 16383, 16384, 65535, 70000, 131072, 10**7]
    outcome = LengthBuckets(tokens="metadata.tokens")(table(lengths))
    assert outcome.documents["metadata.length_bucket"].to_pylist() == [
        None,
        "8-16K",
        "8-16K",
        "16-32K",
        "32-64K",
        "64-128K",
        "128K+",
        "128K+",
    ]
    assert outcome.keep.tolist() == [False] + [True] * 7
    assert LengthBuckets(tokens="metadata.tokens", keep_shorter=True)(table([1])).keep is None


def test_without_a_count_tokens_are_estimated_from_bytes():
    texts = ["é" * 4096, "e" * 4096]  # 8192 and 4096 bytes, for 4 bytes a token
    buckets = LengthBuckets(edges=[1024, 2048], bytes_per_token=4, output="metadata.bucket")
    outcome = buckets(table([0, 0], texts))
    assert outcome.documents["metadata.bucket"].to_pylist() == ["2K+", "1-2K"]


def test_a_document_without_a_count_is_an_error_of_that_document():
    outcome = LengthBuckets(tokens="metadata.tokens")(table([9000, None]))
    assert outcome.errors == {1: "metadata.tokens is None, expected a number of tokens"}
    outcome = LengthBuckets(tokens="metadata.other")(table([9000]))
    assert list(outcome.errors) == [0]


@pytest.mark.parametrize("edges", [[], [2, 1], [1, 1], [-1, 5]])
def test_edges_have_to_rise(edges):
    with pytest.raises(UserError, match="edges="):
        LengthBuckets(edges=edges)
