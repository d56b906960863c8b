import pytest

from olmoflow.curate.long_context.wording import (
    common_words,
    in_words,
    recurring_phrases,
    words,
)


def test_words_are_compared_without_case():
    assert words("Don't DON’T stop—Σίσυφος 3x") == ["don't", "don't", "stop", "σίσυφοσ", "3x"]


def test_common_words_are_counted_and_say_something():
    text = "The ship, the SHIP and the harbour. Harbour ship! Once anchor, because because because"
    assert common_words(text, 10) == [("ship", 3), ("harbour", 2)]
    assert common_words(text, 1) == [("ship", 3)]


def test_phrases_recur_in_some_sections():
    sections = [
        "The copper kettle stood near the garden wall.",
        "Nobody saw the copper kettle again, nor any garden.",
        "A wall near the house. The copper  KETTLE!",
        "Something else entirely, with a garden wall.",
    ]
    assert recurring_phrases(sections, 5) == [("copper kettle", [0, 1, 2]), ("garden wall", [0, 3])]


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
