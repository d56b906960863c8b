"""Filters by what words and lines consist of."""

import pytest


def test_symbols_are_counted_for_each_word(kept):
    texts = ["one two three four five six seven eight nine ten #", "one two...", "...", "one"]
    settings = {"max_symbol_to_word_ratio": 0.1}
    assert kept("symbol_ratio_filter", texts, **settings) == [True, False, False, True]


@pytest.mark.parametrize("bullet", ["●", "•", "*", "-"])
def test_lines_with_bullets_are_counted(kept, bullet):
    texts = [f"{bullet} one\n  {bullet}two", f"{bullet} one\n\nno {bullet}", "", "plain"]
    assert kept("bullet_filter", texts, max_bullet_ratio=0.9) == [False, True, False, True]
    assert kept("bullet_filter", texts, max_bullet_ratio=0.5) == [False, True, False, True]


@pytest.mark.parametrize("ellipsis", ["...", ". . .", "…"])
def test_lines_with_an_ellipsis_are_counted(kept, ellipsis):
    texts = [f"one{ellipsis}  \ntwo\nthree", f"one{ellipsis}\ntwo", f"{ellipsis} one"]
    assert kept("ellipsis_line_ratio_filter", texts, max_ratio=0.4) == [True, False, True]


def test_words_without_a_letter_are_counted(kept):
    texts = ["a b c d 5", "a b c 5", "1 2 3", "", "a1 b2"]
    settings = {"max_ratio": 0.2}
    expected = [True, False, False, False, True]
    assert kept("alphabetic_word_ratio_filter", texts, **settings) == expected


def test_stop_words_are_counted(kept):
    texts = ["The cat and dog", "the THE The", "theory bee", "with", "to be of that have with"]
    assert kept("stop_word_filter", texts) == [True, True, False, False, True]
    settings = {"count_unique": True}
    assert kept("stop_word_filter", texts, **settings) == [True, False, False, False, True]
    assert kept("stop_word_filter", texts, min_stop_word=6, count_unique=True)[-1]
