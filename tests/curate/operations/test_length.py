"""Filters by length, on texts that lie just within and just without."""

import pytest

from olmoflow.curate.operations.columns import strings_in, text_of


def test_an_empty_batch_passes_through_every_filter(outcome, documents):
    for name in ("non_null_filter", "text_len_filter", "word_len_filter", "stop_word_filter"):
        assert outcome(name, documents([])).keep.tolist() == []
    for name in ("massive_web_repetition_filter", "subsample"):
        assert outcome(name, documents([])).keep.tolist() == []
    sliced = documents(["one", "two words"]).slice(1)
    assert strings_in(text_of(sliced, "text")).number == 1


def test_documents_without_a_text_go(kept):
    assert kept("non_null_filter", ["a", "", None, " "]) == [True, True, False, True]


def test_texts_are_measured_in_bytes(kept):
    texts = ["", "ab", "é", "éé", "€uro"]
    bounds = {"lower_bound": 2, "upper_bound": 4}
    assert kept("text_len_filter", texts, **bounds) == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"length_type": "char", "lower_bound": 14}, [False, True, True]),
        ({"length_type": "word", "lower_bound": 3, "upper_bound": 4}, [False, True, False]),
        ({"length_type": "line", "lower_bound": 2}, [False, False, True]),
        ({"length_type": "paragraph", "lower_bound": 2}, [False, False, True]),
        ({"length_type": "sentence", "upper_bound": 2}, [True, True, False]),
        (
            # "One two, three." has five segments that are not blank.
            {"length_type": "word", "upper_bound": 4, "ignore_punctuation": False},
            [True, False, False],
        ),
        ({"length_type": "word"}, [True, True, True]),
    ],
)
def test_pages_are_kept_by_their_length(kept, settings, expected):
    texts = ["日本", "One two, three.", "One. Two.\n\nThree four five."]
    assert kept("page_len_filter", texts, **settings) == expected


def test_words_are_kept_by_their_mean_length(kept):
    texts = ["a bb ccc", "étés étés", "", "abcdefghijk"]
    bounds = {"lower_bound": 2, "upper_bound": 10}
    assert kept("word_len_filter", texts, **bounds) == [True, True, False, False]
    assert kept("word_len_filter", [""], lower_bound=0.0) == [True]


def test_what_modifiers_took_away_is_bounded(outcome, documents):
    counted = outcome("word_count_adder", ["a b c d", "a b c d", ""], word_count_field="n")
    assert counted.keep is None
    assert counted.documents.column("n").to_pylist() == [4, 4, 0]
    shorter = documents(["a b c", "a b", ""], n=counted.documents.column("n").combine_chunks())
    for bound, expected in ((0.25, [True, False, True]), (0.5, [True, True, True])):
        settings = {"word_count_field": "n", "upper_bound": bound}
        assert outcome("word_removal_ratio_filter", shorter, **settings).keep.tolist() == expected
    # A document that was never counted stays.
    uncounted = documents(["a"])
    settings = {"word_count_field": "metadata.n", "upper_bound": 0.1}
    assert outcome("word_removal_ratio_filter", uncounted, **settings).keep.tolist() == [True]


def test_another_field_can_be_the_text(outcome, documents):
    table = documents(["", ""], metadata=[{"title": "two words"}, {}])
    settings = {"length_type": "word", "lower_bound": 2, "text_field": "metadata.title"}
    assert outcome("page_len_filter", table, **settings).keep.tolist() == [True, False]
