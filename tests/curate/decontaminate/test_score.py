"""Scores against arithmetic done by hand."""

import pytest

from olmoflow.curate.decontaminate.score import adjusted, confidence, required, weighted


def score(question, ngrams=20, answer=None, answer_tokens=4, passage=None):
    has = answer is not None, passage is not None
    return weighted(question, ngrams, has[0], answer or 0, answer_tokens, has[1], passage or 0)


def test_weights_of_long_questions():
    assert score(0.9) == 0.9
    assert score(0.9, answer=0.5) == pytest.approx(0.75 * 0.9 + 0.25 * 0.5)
    assert score(0.9, passage=0.5) == pytest.approx(0.85 * 0.9 + 0.15 * 0.5)
    both = score(0.9, answer=0.5, passage=0.25)
    assert both == pytest.approx(0.7 * 0.9 + 0.2 * 0.5 + 0.1 * 0.25)


def test_a_question_of_few_ngrams_counts_less_and_its_answer_more():
    # 10 of 20 n-grams: 0.5 + 0.5 · 10/20 = 0.75 of the question's weight stays.
    assert confidence(10, 20) == 0.75
    assert score(1, 10, answer=0) == pytest.approx(0.75 * 0.75)
    assert score(0, 10, answer=1) == pytest.approx(0.25 + 0.75 * 0.25)
    assert score(0, 10, passage=1) == pytest.approx(0.15 + 0.85 * 0.25)
    # A question alone has nothing to give its weight to.
    assert score(0.9, 10) == 0.9


def test_with_a_passage_lost_weight_goes_half_to_each_and_a_short_answers_to_the_passage():
    # Question: 0.7 · 0.75 = 0.525, lost 0.175. Answer: (0.2 + 0.0875) · 0.75 = 0.215625, for its
    # two tokens make 0.5 + 0.5 · 2/4. Passage: 0.1 + 0.0875 + 0.071875 = 0.259375.
    assert score(1, 10, 0, 2, 0) == pytest.approx(0.525)
    assert score(0, 10, 1, 2, 0) == pytest.approx(0.215625)
    assert score(0, 10, 0, 2, 1) == pytest.approx(0.259375)
    assert score(1, 10, 1, 2, 1) == 1


@pytest.mark.parametrize(("length", "wanted"), [(0, 1), (20, 1), (35, 0.9), (50, 0.8), (80, 0.8)])
def test_short_entries_have_to_match_better(length, wanted):
    assert required(length, 20, 50, 0.8) == pytest.approx(wanted)
    # What reaches just that stands at the threshold; a perfect score always passes.
    assert adjusted(wanted - 1e-9, length, 20, 50, 0.8) == pytest.approx(0.8)
    assert adjusted(1, length, 20, 50, 0.8) == 1


def test_a_rule_without_a_slope_is_a_step():
    assert required(20, 20, 20, 0.8) == 1
    assert required(21, 20, 20, 0.8) == 0.8
