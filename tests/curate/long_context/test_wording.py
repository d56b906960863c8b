"""Words, phrases and numbers in words."""

import pytest

from olmoflow.curate.long_context.wording import (
    common_words,
    in_words,
    recurring_phrases,
    tokens,
)


def test_words_are_compared_without_case():
    text = "Don't DON’T stop—Σίσυφος 3x"
    found = tokens(text)
    assert [one.word for one in found] == ["don't", "don't", "stop", "σίσυφοσ", "3x"]
    assert [text[one.start : one.end] for one in found[1:3]] == ["DON’T", "stop"]


def test_common_words_are_counted_and_say_something():
    text = "The ship, the SHIP and the harbour. Harbour ship! Once anchor, because because because"
    assert common_words(text, 10) == [("ship", 3), ("harbour", 2)]
    assert common_words(text, 1) == [("ship", 3)]


def test_phrases_recur_in_some_sections():
    sections = [
        "The copper kettle stood near the garden wall.",
        "Nobody saw the copper\n kettle again, nor any garden. Wall",
        "A wall near the house. The copper  KETTLE!",
        "Something else entirely, with a garden wall.",
    ]
    kettle, wall = recurring_phrases(sections, "\n\n", 5)
    text = "\n\n".join(sections)
    for phrase, words, places in ((kettle, "copper kettle", 3), (wall, "garden wall", 2)):
        assert phrase.words == words
        found = [text[a:b] for a, b in zip(phrase.starts, phrase.ends, strict=True)]
        assert [" ".join(one.lower().split()) for one in found] == [words] * places


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (100, "one hundred"),
        (219, "two hundred and nineteen"),
        (1000, "one thousand"),
        (1001, "one thousand and one"),
        (12345, "twelve thousand three hundred and forty-five"),
    ],
)
def test_numbers_in_words(number, text):
    assert in_words(number) == text
