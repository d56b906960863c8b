"""Exact match and F1."""

import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.text_match import ExactMatchVerifier, F1Verifier, f1


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("The Eiffel Tower.", "eiffel tower", 1),
        ("<think>Rome</think> Paris", "Paris", 1),
        ("Paris, France", ["Paris France", "Paris"], 1),
        ("Paris, France", "Paris", 0),
    ],
)
def test_exact_match_after_squads_normalisation(text, reference, score):
    assert ExactMatchVerifier().verify([Answer(text, reference)])[0].score == score


def test_exact_match_to_the_letter_and_by_rule():
    exact = ExactMatchVerifier(normalize=False)
    assert [v.score for v in exact.verify([Answer("a", "A"), Answer(" A ", "A")])] == [0, 1]
    tagged = ExactMatchVerifier(extract=["answer_tag"])
    verdicts = tagged.verify([Answer("<answer>A</answer>", "A"), Answer("A", "A")])
    assert [(v.score, v.outcome) for v in verdicts] == [(1, "scored"), (0, "no_answer")]


@pytest.mark.parametrize(
    ("found", "gold", "score"),
    [
        ("a cat sat", "cat sat", 1),
        ("cat", "cat sat", 2 / 3),
        ("cat cat", "cat", 2 / 3),
        ("dog", "cat", 0),
        ("the", "a", 1),
        ("the", "cat", 0),
    ],
)
def test_f1_counts_words(found, gold, score):
    assert f1(found, gold) == pytest.approx(score)


def test_f1_takes_the_best_reference():
    verdict = F1Verifier().verify([Answer("the cat", ["dog", "cat sat"])])[0]
    assert verdict.score == pytest.approx(2 / 3)


@pytest.mark.parametrize("verifier", [ExactMatchVerifier(), F1Verifier()])
def test_a_reference_must_be_text(verifier):
    for reference in (None, [], [1]):
        with pytest.raises(UserError, match=r"reference: found .*, expected text"):
            verifier.verify([Answer("a", reference)])
