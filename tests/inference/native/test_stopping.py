"""Texts that end a sample, with characters of several tokens and special tokens among them."""

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from olmoflow.inference.native.stopping import ends_at_text, text_before
from olmoflow.tokens.encoder import byte_characters
from olmoflow.tokens.tokenizer import Tokenizer

ALPHABET = "日本é😀b|\n"
STOPS = st.lists(st.text("日é😀b|", min_size=1, max_size=3), min_size=1, max_size=2)


def ids(tokenizer, text):
    return tokenizer.encode(text)


@pytest.mark.parametrize(
    ("said", "stops", "text"),
    [
        ("one\ntwo", ["\n"], "one"),
        ("one<|im_end|>", ["<|im_end|>"], "one"),
        ("a<|endoftext|>b##", ["##"], "ab"),
        ("first b second a", ["a", "b"], "first "),
        ("long|stop", ["stop", "|stop"], "long"),
        ("long|stop", ["s", "|stop"], "long|"),
        ("nothing of it", ["#"], "nothing of it"),
        ("only<|endoftext|>", [], "only"),
        ("ends by itself<|endoftext|>", ["|"], "ends by itself"),
    ],
)
def test_the_text_ends_before_the_first_stop(tokenizer, said, stops, text):
    assert text_before(tokenizer, ids(tokenizer, said), stops) == text


def test_a_stop_is_seen_when_its_last_character_comes(tokenizer):
    tokens = ids(tokenizer, "x" * 50 + "Question: ")
    found = [ends_at_text(tokenizer, tokens[: n + 1], ["Question:"]) for n in range(len(tokens))]
    assert found.index(True) == len("x" * 50 + "Question:") - 1


@pytest.fixture(scope="module")
def pieces():
    """Tokens of one to four bytes, which may begin and end within a character."""
    letters = byte_characters()
    texts = [text.encode() for text in ("日本b", "é|日", "b😀é", "|\né")]
    cut = {text[i:j] for text in texts for i in range(len(text)) for j in range(i + 2, i + 5)}
    all_of_them = [bytes([b]) for b in range(256)] + sorted(cut - {text[-1:] for text in texts})
    return {piece: "".join(letters[b] for b in piece) for piece in all_of_them}


@pytest.fixture(scope="module")
def byte_pairs(pieces):
    vocabulary = {written: number for number, written in enumerate(pieces.values())}
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    return Tokenizer(backend, {"eos_token": "<|endoftext|>"})


@given(text=st.text(ALPHABET, max_size=12), stops=STOPS, data=st.data())
def test_tokens_may_end_within_characters(pieces, byte_pairs, text, stops, data):
    """However a text is cut into tokens, it ends at the stop that comes first, losing nothing."""
    left, token_ids, numbers = text.encode(), [], list(pieces)
    while left and not (token_ids and ends_at_text(byte_pairs, token_ids, stops)):
        piece = data.draw(st.sampled_from([p for p in pieces if left.startswith(p)]))
        token_ids.append(numbers.index(piece))
        left = left[len(piece) :]
    ends = [n for n in range(len(text) + 1) if text[:n].endswith(tuple(stops))]
    said = text[: ends[0]] if ends else text
    lengths = [len(stop) for stop in stops if said.endswith(stop)]
    assert text_before(byte_pairs, token_ids, stops) == said[: len(said) - max(lengths, default=0)]
