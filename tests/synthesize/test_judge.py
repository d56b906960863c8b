"""Verdicts are read out of whatever form a judge gives them, and never invented."""

import pytest

from olmoflow.synthesize.judge import read_preference, read_scores

ASPECTS = ["helpfulness", "instruction following"]


@pytest.mark.parametrize(
    "text",
    [
        "Helpfulness: 7\nInstruction following: 8",
        "It is fine.\n\n**Helpfulness:** 7/10\n**Instruction Following**: 8 / 10",
        '```json\n{"helpfulness": 7, "instruction_following": "8"}\n```',
        "Helpfulness score: 7. Instruction-following = 8.",
        "| Helpfulness | 7 |\n| Instruction following | 8 |",
        "Helpfulness: 1\nInstruction following: 1\nOn reflection:\n"
        "Helpfulness: 7\nInstruction following: 8",
        "<think>Helpfulness: 2 and Instruction following: 2?</think>\n"
        "Helpfulness: [7]\nInstruction following: (8)",
    ],
)
def test_scores_are_found(text):
    assert read_scores(text, ASPECTS) == {"helpfulness": 7.0, "instruction following": 8.0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I would rather not say.",
        "Helpfulness: 7",
        "Helpfulness: N\nInstruction following: N",
        "Helpfulness: 11\nInstruction following: 8",
        "Helpfulness: 0\nInstruction following: 8",
        "Helpfulness: -7\nInstruction following: 8",
        "Helpfulness: 4/5\nInstruction following: 8",
        "Helpfulness: 7-8\nInstruction following: 8",
        "Helpfulness: 1000000\nInstruction following: 8",
        "Unhelpfulness: 7\nInstruction following: 8",
        "<think>Helpfulness: 7\nInstruction following: 8",
    ],
)
def test_what_is_no_clear_score_is_none(text):
    assert read_scores(text, ASPECTS) is None


def test_fractions_are_scores():
    assert read_scores("Overall: 8.5/10", ["overall"]) == {"overall": 8.5}


@pytest.mark.parametrize(
    "text",
    ["Best: 3\nWorst: 1", "**Best:** Answer 3\n**Worst:** #1", '{"best": 3, "worst": 1}'],
)
def test_a_preference_is_found(text):
    assert read_preference(text, 4) == (2, 0)


@pytest.mark.parametrize(
    "text", ["Best: 3", "Best: 3\nWorst: 3", "Best: 5\nWorst: 1", "Best: 0\nWorst: 1", "Best: 3.5"]
)
def test_what_is_no_clear_preference_is_none(text):
    assert read_preference(text, 4) is None
