"""Words and their n-grams against plain Python."""

import string

import numpy as np
import pytest
import regex

from olmoflow.curate.dedup import words

# Letters that Unicode's word boundaries put into no word with others.
ALONE = regex.compile(r"(?=\p{Alphabetic})\p{WB=Other}")
TEXTS = [
    "",
    " \n\t ",
    "Hello, World! hello world",
    "don't  stop\u00a0me_now -- ÉCOLE école",
    "one",
    "ein Wort: Straße, ΑΘΗΝΑ αθηνα",
    "漢字かな交じり text ไทย",
    "カタカナと한국어 ខ្មែរ ๒๕ 々〇",
    "emoji 😀😀 a😀b\ufeff",
    "a.b.c !!! d",
]


def plain_words(text):
    """Lower case, no ASCII punctuation, split at whitespace; CJK characters alone."""
    deleted = text.translate(str.maketrans("", "", string.punctuation))
    spaced = "".join(f" {c} " if ALONE.fullmatch(c) else c.lower() for c in deleted)
    return spaced.split()


def hashed(text):
    data = np.frombuffer(text.encode(), np.uint8)
    room = np.empty((len(data) + 1) // 2 + 1, np.uint64)
    count = words.hash_words(data, 0, len(data), words.classes(), room)
    return room[:count].copy()


def test_words_are_those_of_plain_python():
    expected = [word for text in TEXTS for word in plain_words(text)]
    found = [value for text in TEXTS for value in hashed(text).tolist()]
    assert len(found) == len(expected)
    # Equal words have equal hashes, and no others have.
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


@pytest.mark.parametrize("n", [1, 3, 5])
def test_ngrams_depend_on_their_words_alone(n):
    text = "a b c d e f a b c d e x a b c d e f"
    hashes = hashed(text)
    found = np.empty(len(hashes), np.uint64)
    count = words.hash_ngrams(hashes, len(hashes), n, found)
    plain = text.split()
    expected = [tuple(plain[i : i + n]) for i in range(len(plain) - n + 1)]
    assert count == len(expected)
    pairs = set(zip(expected, found[:count].tolist(), strict=True))
    assert len(pairs) == len(set(expected)) == len(set(found[:count].tolist()))


def test_short_texts_are_one_ngram():
    short = hashed("only three words")
    room = np.empty(4, np.uint64)
    assert words.hash_ngrams(short, 3, 5, room) == 1
    assert words.hash_ngrams(short, 0, 5, room) == 0
