"""Mathematical answers are judged as a mathematician would, and hostile ones end."""

import threading

import pytest
from equality_table import DIFFERENT, EQUAL

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.math import MathVerifier, settled


@pytest.fixture(scope="module")
def verifier():
    verifier = MathVerifier(workers=2, deadline=600)
    yield verifier
    verifier.close()


def boxed(answer):
    return f"Thus $\\boxed{{{answer}}}$."


def test_equal_answers_are_right(verifier):
    verdicts = verifier.verify([Answer(boxed(found), gold) for gold, found in EQUAL])
    wrong = [pair for pair, verdict in zip(EQUAL, verdicts, strict=True) if verdict.score != 1]
    assert wrong == []


def test_different_answers_are_wrong_and_are_scored(verifier):
    verdicts = verifier.verify([Answer(boxed(found), gold) for gold, found in DIFFERENT])
    table = zip(DIFFERENT, verdicts, strict=True)
    assert [pair for pair, verdict in table if verdict.score != 0] == []
    assert {verdict.outcome for verdict in verdicts} == {"scored"}


def test_algebra_works_in_a_thread(verifier):
    """Where math-verify's own deadline makes every answer wrong."""
    verdicts = []
    answers = [Answer(boxed(r"\sqrt{12}"), r"2\sqrt{3}")]
    thread = threading.Thread(target=lambda: verdicts.extend(verifier.verify(answers)))
    thread.start()
    thread.join()
    assert [verdict.score for verdict in verdicts] == [1]


HOSTILE = [
    boxed("10^{10^{10}}"),
    boxed("9^{9^{9^{9}}}"),
    boxed("1000000000!"),
    boxed("((((100!)!)!)!)!"),
    boxed("(" * 900 + "1" + ")" * 900),
    boxed(r"\frac{1}{" * 150 + "2" + "}" * 150),
    boxed(r"\sum_{n=1}^{10000000000} \frac{1}{n}"),
    boxed("9" * 1500 + "^{" + "9" * 300 + "}"),
    r"\boxed{" * 20_000,
    "1," * 200_000,
    "x" * 2_000_000,
    r"\boxed{" + "+".join(["x"] * 100_000) + "}",
]


def test_hostile_answers_end_and_harm_no_others():
    verifier = MathVerifier(workers=2, deadline=1.0)
    verdicts = verifier.verify([Answer(text, r"\frac{7\pi}{3}") for text in HOSTILE])
    assert all(verdict.score == 0 for verdict in verdicts)
    assert verdicts[0].outcome == "timeout"
    verifier._pool._deadline = 600  # a busy machine may hold up an honest one
    assert verifier.verify([Answer(boxed(r"\sqrt{12}"), r"2\sqrt{3}")])[0].score == 1
    verifier.close()


def test_text_is_never_run(verifier, tmp_path):
    mark = tmp_path / "mark"
    code = f"__import__('pathlib').Path('{mark}').touch()"
    verifier.verify([Answer(boxed(code), "1"), Answer(f"{code} = 3*4", "12")])
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "score", "outcome"),
    [
        ("Answer: 0.5", 1, "scored"),
        (r"Final Answer: The final answer is $\frac12$. I hope it is correct.", 1, "scored"),
        ("The answer is 1/2.", 1, "scored"),
        ("I get 0.5", 1, "scored"),
        (r"<think>\boxed{1/2}</think> I do not know.", 0, "no_answer"),
        (r"<think>\boxed{3}</think> \boxed{1/2}", 1, "scored"),
        ("no idea", 0, "no_answer"),
        ("", 0, "no_answer"),
        (r"\boxed{1/2} \boxed{3}", 0, "scored"),
    ],
)
def test_the_last_answer_counts_and_none_is_told_apart(verifier, text, score, outcome):
    verdict = verifier.verify([Answer(text, r"\frac{1}{2}")])[0]
    assert (verdict.score, verdict.outcome) == (score, outcome)


def test_any_of_several_references_is_right(verifier):
    verdicts = verifier.verify([Answer(boxed("4"), ["3", 4]), Answer(boxed("5"), ["3", 4])])
    assert [verdict.score for verdict in verdicts] == [1, 0]


def test_a_solution_may_be_the_reference():
    assert settled("5", ["5"]).score == 1
    assert MathVerifier().verify([Answer(boxed("5"), r"We get \boxed{5}.")])[0].score == 1


@pytest.mark.parametrize("reference", [None, [], {"answer": 5}, [None]])
def test_references_of_another_kind_are_the_users_mistake(verifier, reference):
    with pytest.raises(UserError, match=r"reference: found .*, expected an answer"):
        verifier.verify([Answer("1", reference)])
