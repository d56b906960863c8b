"""The last number counts."""

import pytest

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.gsm8k import GSM8KVerifier

SOLUTION = "She sells 48/2 = <<48/2=24>>24 clips.\n#### 72"


@pytest.mark.parametrize(
    ("text", "reference", "score"),
    [
        ("It is 72", SOLUTION, 1),
        ("#### 72", SOLUTION, 1),
        ("#### 71", SOLUTION, 0),
        ("The answer is 72. I used 3 steps.", SOLUTION, 1),
        ("The answer is $72.00.", SOLUTION, 1),
        (r"\boxed{72} because of 5", SOLUTION, 1),
        ("72 clips, or 71", SOLUTION, 0),
        ("So she has 1,234 dollars.", "1234", 1),
        ("So she has $1,234.50.", "1234.5", 1),
        ("It is -5 degrees", -5, 1),
        ("It is 5 degrees", -5, 0),
        ("half, 0.5", 0.5, 1),
        ("<think>72</think> It is 70", "72", 0),
        ("1000000", "1,000,000", 1),
    ],
)
def test_the_last_number_counts(text, reference, score):
    verdict = GSM8KVerifier().verify([Answer(text, reference)])[0]
    assert (verdict.score, verdict.outcome) == (score, "scored")


@pytest.mark.parametrize("text", ["", "no number", "<think>72"])
def test_no_number_is_no_answer(text):
    assert GSM8KVerifier().verify([Answer(text, "72")])[0].outcome == "no_answer"


def test_strict_wants_the_answer_marked():
    strict = GSM8KVerifier(strict=True)
    assert strict.verify([Answer("The answer is 72.", "72")])[0].score == 1
    assert strict.verify([Answer("72", "72")])[0].outcome == "no_answer"


@pytest.mark.parametrize("reference", ["none", None, ["72"], True, float("nan")])
def test_a_reference_without_a_number_is_the_users_mistake(reference):
    with pytest.raises(UserError, match=r"reference: found .*, expected a number"):
        GSM8KVerifier().verify([Answer("72", reference)])
