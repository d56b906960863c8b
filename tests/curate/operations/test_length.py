"""Filters by length, on texts that lie just within and just without."""

import pytest

from olmoflow.curate.operations.columns import text_of
from olmoflow.curate.strings import strings_of


def test_an_empty_batch_passes_through_every_filter(outcome, documents):
    for name in ("non_null_filter", "text_len_filter", "word_len_filter", "stop_word_filter"):
        assert outcome(name, documents([])).keep.tolist() == []
    for name in ("massive_web_repetition_filter", "subsample"):
        assert outcome(name, documents([])).keep.tolist() == []
    sliced = documents(["one", "two words"]).slice(1)
    assert strings_of(text_of(sliced, "text")).number == 1


def test_documents_without_a_text_go(kept):
    assert kept("non_null_filter", ["a", "", None, " "]) == [True, True, False, True]


def test_texts_are_measured_in_bytes(kept):
    texts = ["", "ab", "é", "éé", "€uro"]
    bounds = {"lower_bound": 2, "upper_bound": 4}
    assert kept("text_len_filter", texts, **bounds) == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("text", "settings", "length"),
    [
        ("", {"length_type": "word"}, 0),
        ("don't x_y 3.14", {"length_type": "word"}, 6),
        ("don’t x_y 3.14", {"length_type": "word"}, 3),
        ("Isn't it, \x01?", {"length_type": "word", "ignore_punctuation": False}, 6),
        ("Isn’t it, \x01?", {"length_type": "word", "ignore_punctuation": False}, 5),
        ("é \u0301,", {"length_type": "word", "ignore_punctuation": False}, 3),
        ("日本, a_1 ²!\n", {"length_type": "char"}, 5),
        ("日本, a_1 ²!\n", {"length_type": "char", "ignore_punctuation": False}, 11),
        ("", {"length_type": "line"}, 0),
        ("\n", {"length_type": "line"}, 1),
        ("a\r\n\n b\n", {"length_type": "line"}, 3),
        ("a\nb", {"length_type": "line"}, 2),
        ("", {"length_type": "sentence"}, 1),
        ("3.14 is... what?!", {"length_type": "sentence"}, 6),
        ("日本語です。", {"length_type": "sentence"}, 1),
        ("\n\n", {"length_type": "paragraph"}, 1),
        ("\n\na\nb\n\n\n \n\nc", {"length_type": "paragraph"}, 2),
        ("a\r\n\r\nb", {"length_type": "paragraph"}, 1),
    ],
)
def test_pages_are_kept_by_their_length(kept, text, settings, length):
    exact = settings | {"lower_bound": length, "upper_bound": length}
    assert kept("page_len_filter", [text], **exact) == [True]
    assert kept("page_len_filter", [text], **settings) == [length > 0]


def test_words_are_kept_by_their_mean_bytes(kept):
    texts = ["a bb ccc", "étés été,", "", " \n", "abcdefghijk", "a\xa0b"]
    bounds = {"lower_bound": 2, "upper_bound": 6}
    assert kept("word_len_filter", texts, **bounds) == [True, True, False, False, False, False]
    assert kept("word_len_filter", texts) == [True, True, False, False, True, True]
    # 1.1 as a number of 32 bits, which is what eleven bytes in ten words are.
    eleven = "a b c d e f g h i jj"
    assert kept("word_len_filter", [eleven], lower_bound=1.1, upper_bound=1.1) == [True]


def test_what_modifiers_took_away_is_bounded(outcome, documents):
    counted = outcome("word_count_adder", ["a b c d", "a b c d", ""], word_count_field="n")
    assert counted.keep is None
    assert counted.documents.column("n").to_pylist() == [4, 4, 0]
    shorter = documents(["a b c", "a b", ""], n=counted.documents.column("n").combine_chunks())
    # Of no word nothing is no share.
    for bound, expected in ((0.25, [True, False, False]), (0.5, [True, True, False])):
        settings = {"word_count_field": "n", "upper_bound": bound}
        assert outcome("word_removal_ratio_filter", shorter, **settings).keep.tolist() == expected
    longer = documents(["a b", "a"], n=[1, 0])
    settings = {"word_count_field": "n", "upper_bound": 0.0}
    assert outcome("word_removal_ratio_filter", longer, **settings).keep.tolist() == [True, True]
    # A document that was never counted stays.
    uncounted = documents(["a"])
    settings = {"word_count_field": "metadata.n", "upper_bound": 0.1}
    assert outcome("word_removal_ratio_filter", uncounted, **settings).keep.tolist() == [True]


def test_another_field_can_be_the_text(outcome, documents):
    table = documents(["", ""], metadata=[{"title": "two words"}, {}])
    settings = {"length_type": "word", "lower_bound": 2, "text_field": "metadata.title"}
    assert outcome("page_len_filter", table, **settings).keep.tolist() == [True, False]
