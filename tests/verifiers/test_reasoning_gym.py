"""Puzzles are scored, and answers that are programs do nothing."""

import pytest
import reasoning_gym

from olmoflow.errors import UserError
from olmoflow.verifiers import Answer
from olmoflow.verifiers.reasoning_gym import ReasoningGymVerifier

# With a canonical answer; string_insertion evaluates answers, countdown parses them with SymPy.
TASKS = ["basic_arithmetic", "countdown", "word_sorting", "knights_knaves", "string_insertion"]


@pytest.fixture(scope="module")
def verifier():
    verifier = ReasoningGymVerifier(workers=1, deadline=60.0)
    yield verifier
    verifier.close()


@pytest.mark.parametrize("task", TASKS)
def test_canonical_answers_are_right_and_others_are_not(verifier, task):
    entries = list(reasoning_gym.create_dataset(task, size=3, seed=1))
    right = [Answer(f"so <answer>{entry['answer']}</answer>", entry) for entry in entries]
    assert [verdict.score for verdict in verifier.verify(right)] == [1, 1, 1]
    wrong = [Answer("<answer>elephant</answer>", entry) for entry in entries]
    verdicts = verifier.verify(wrong)
    assert {verdict.outcome for verdict in verdicts} == {"scored"}
    assert max(verdict.score for verdict in verdicts) < 0.5


def test_an_answer_that_is_a_program_can_do_nothing(verifier, tmp_path):
    mark = tmp_path / "mark"
    attempts = [
        f"__import__('pathlib').Path({str(mark)!r}).touch()",
        f"__import__('os').system('touch {mark}')",
        f"open({str(mark)!r}, 'w')",
    ]
    for task in ("string_insertion", "countdown", "n_queens", "polynomial_equations"):
        entry = reasoning_gym.create_dataset(task, size=1, seed=1)[0]
        verdicts = verifier.verify([Answer(f"<answer>{code}</answer>", entry) for code in attempts])
        assert max(verdict.score for verdict in verdicts) < 0.5
        assert not mark.exists()


def test_nothing_is_no_answer_and_no_entry_the_users_mistake(verifier):
    entry = reasoning_gym.create_dataset("word_sorting", size=1, seed=1)[0]
    assert verifier.verify([Answer("", entry)])[0].outcome == "no_answer"
    for reference in (None, "x", {"metadata": {}}):
        with pytest.raises(UserError, match="expected an entry of reasoning-gym"):
            verifier.verify([Answer("x", reference)])
