"""Filters by what words and lines consist of."""

import pytest


def test_symbols_are_counted_for_each_word(kept):
    texts = [
        *("one two three four five six seven eight nine #ten", "one two...", "...", "one", "#"),
        # Nine words, for ". . ." is one.
        "one two three four five six seven eight . . .",
        "one two three four five six seven eight nine . . .",
    ]
    expected = [True, False, False, True, False, False, True]
    assert kept("symbol_ratio_filter", texts, max_symbol_to_word_ratio=0.1) == expected
    assert kept("symbol_ratio_filter", ["#", "", "##"], max_symbol_to_word_ratio=1) == [
        *(True, True, False)
    ]
    assert kept("symbol_ratio_filter", ["####"]) == [True]


@pytest.mark.parametrize("bullet", ["●", "•", "*", "-"])
def test_lines_with_bullets_are_counted(kept, bullet):
    texts = [
        f"{bullet} one\n{bullet}two",
        f"{bullet} one\n  {bullet}two",
        f"{bullet}\n\nno {bullet}",
        *("", "plain"),
        f"{bullet}\n",
    ]
    expected = [False, True, True, True, True, True]
    assert kept("bullet_filter", texts, max_bullet_ratio=0.9) == expected
    assert kept("bullet_filter", texts, max_bullet_ratio=0.5) == expected
    expected = [False, False, True, True, True, False]
    assert kept("bullet_filter", texts, max_bullet_ratio=0.4) == expected
    assert all(kept("bullet_filter", texts))


@pytest.mark.parametrize("ellipsis", ["...", ". . .", "…"])
def test_lines_with_an_ellipsis_are_counted(kept, ellipsis):
    texts = [
        f"one{ellipsis}\n\n\ntwo\nthree",
        f"one{ellipsis}\r\n\r\ntwo",
        f"one{ellipsis} \ntwo",
        f"{ellipsis} one",
        f"{ellipsis}\r",
        ellipsis,
        "",
    ]
    expected = [True, False, True, True, True, False, True]
    assert kept("ellipsis_line_ratio_filter", texts, max_ratio=0.4) == expected
    assert all(kept("ellipsis_line_ratio_filter", texts))


def test_words_without_a_letter_are_counted(kept):
    texts = ["a b c d 5", "a b c 5", "1 2 3", "", "a1 b2", "word", "a, b - c.d", "a b c (d) -"]
    settings = {"max_ratio": 0.2}
    expected = [True, False, False, False, True, False, False, True]
    assert kept("alphabetic_word_ratio_filter", texts, **settings) == expected


def test_stop_words_are_counted(kept):
    marked = ["The, cat and dog", "the\xa0THE", "(the) to", "to\nbe", "to_be with"]
    assert kept("stop_word_filter", marked) == [False, True, False, True, False]
    assert all(kept("stop_word_filter", ["", "the"], min_stop_word=0))
    texts = ["The cat and dog", "the THE The", "theory bee", "with", "to be of that have with"]
    assert kept("stop_word_filter", texts) == [True, True, False, False, True]
    settings = {"count_unique": True}
    assert kept("stop_word_filter", texts, **settings) == [True, False, False, False, True]
    assert kept("stop_word_filter", texts, min_stop_word=6, count_unique=True)[-1]
