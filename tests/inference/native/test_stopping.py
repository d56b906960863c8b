"""Texts that end a sample, with characters of several tokens and special tokens among them."""

import pytest

from olmoflow.inference.native.stopping import ends_at_text, text_before


def ids(tokenizer, text):
    return tokenizer.encode(text)


@pytest.mark.parametrize(
    ("said", "stops", "text"),
    [
        ("one\ntwo", ["\n"], "one"),
        ("one<|im_end|>", ["<|im_end|>"], "one"),
        ("a<|endoftext|>b##", ["##"], "ab"),
        ("first b second a", ["a", "b"], "first "),
        ("nothing of it", ["#"], "nothing of it"),
        ("only<|endoftext|>", [], "only"),
    ],
)
def test_the_text_ends_before_the_first_stop(tokenizer, said, stops, text):
    assert text_before(tokenizer, ids(tokenizer, said), stops) == text


def test_a_stop_is_seen_when_its_last_character_comes(tokenizer):
    tokens = ids(tokenizer, "x" * 50 + "Question: ")
    found = [ends_at_text(tokenizer, tokens[: n + 1], ["Question:"]) for n in range(len(tokens))]
    assert found.index(True) == len("x" * 50 + "Question:") - 1
