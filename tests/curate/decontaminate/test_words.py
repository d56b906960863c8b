"""Words as hashes: what is the same word, and equality with the plain loop."""

from itertools import pairwise

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.curate.decontaminate.settings import PUNCTUATION
from olmoflow.curate.decontaminate.words import hash_words, split_words
from olmoflow.curate.strings import strings_of


def hashes(*texts):
    tokens, offsets = hash_words(strings_of(pa.array(texts, pa.large_string())), PUNCTUATION)
    return [tokens[a:b].tolist() for a, b in pairwise(offsets)]


def test_case_punctuation_and_space_make_no_difference():
    plain, written = hashes("janet s ducks lay 16 eggs", "“Janet’s DUCKS”\tlay\n16 eggs!")
    assert plain == written
    assert len(plain) == 6


def test_words_are_told_apart():
    (text,) = hashes("alpha beta alphabeta alpha ß ss")
    assert text[0] == text[3]
    assert len(set(text)) == 5


def test_scripts_without_spaces_and_symbols_are_a_token_a_character():
    assert split_words("東京は大きい。2×3≤7", PUNCTUATION) == list("東京は大きい。2×3≤7")
    assert split_words("катакана カタカナ ÀÉ", PUNCTUATION) == ["катакана", "カタカナ", "àé"]
    assert split_words("soft\u00adhyphen zero\u200bwidth", PUNCTUATION) == [
        "softhyphen",
        "zerowidth",
    ]


@settings(max_examples=50)
@given(st.lists(st.text(), max_size=4))
def test_compiled_words_are_those_of_the_plain_loop(texts):
    texts = [text.encode(errors="replace").decode() for text in texts]
    by_word, by_hash = {}, {}
    for text, found in zip(texts, hashes(*texts), strict=True):
        words = split_words(text, PUNCTUATION)
        assert len(words) == len(found)
        for word, value in zip(words, found, strict=True):
            assert by_word.setdefault(word, value) == value
            assert by_hash.setdefault(value, word) == word
