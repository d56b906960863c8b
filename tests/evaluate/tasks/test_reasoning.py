"""Puzzles: reproducible, scored by reasoning-gym, with solved ones that are not asked."""

import json
import os
import subprocess
import sys

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.reasoning import CHOSEN, PUZZLES, UNSOLVED
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.task import GenerateResponse

NAMES = [name for names in PUZZLES.values() for name in names]
# Made in one process, read in another whose hashes of texts differ.
MAKE = """
import hashlib, json, sys
from olmoflow.evaluate.tasks.registry import find_task
made = {
    name: [i.doc for i in find_task(f"reasoning_gym_{name}:chat", size=3).instances()]
    for name in sys.argv[1:]
}
print(hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest())
"""


def answered(instance, *texts):
    n = len(texts)
    return instance, [GenerateResponse(texts, (0.0,) * n, (1,) * n, (True,) * n)]


def test_puzzles_depend_on_the_seed_alone():
    digests = set()
    for hashseed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashseed}
        command = [sys.executable, "-c", MAKE, *NAMES]
        digests.add(subprocess.check_output(command, env=environment, text=True))
    assert len(digests) == 1
    first, again, other = (
        next(find_task("reasoning_gym_chain_sum:chat", seed=seed).instances(1)).doc["question"]
        for seed in (42, 42, 43)
    )
    assert first == again != other


@pytest.fixture(scope="module")
def puzzles():
    """Five puzzles of each kind."""
    return [
        instance
        for name in NAMES
        for instance in find_task(f"reasoning_gym_{name}:chat", size=5).instances()
    ]


def test_own_answers_score_one_and_nonsense_does_not(puzzles):
    assert len(puzzles) == 5 * len(NAMES)
    json.dumps([instance.doc for instance in puzzles])
    # Its scorer stands in each puzzle, so any task scores those of all.
    task = find_task("reasoning_gym_aiw:chat")
    solved = [i for i in puzzles if i.doc["answer"] is not None]
    assert {i.doc["metadata"]["source_dataset"] for i in solved} == {*NAMES} - {*UNSOLVED}
    golds = [answered(i, f"Let me see. <answer>{i.doc['answer']}</answer>") for i in solved]
    assert all(score.metrics["exact_match"] == 1 for score in task.score(golds))
    nonsense = [answered(i, "<answer>nonsense</answer>") for i in puzzles]
    assert all(score.metrics["exact_match"] == 0 for score in task.score(nonsense))


def test_an_answer_without_tags_is_none():
    task = find_task("reasoning_gym_chain_sum:chat", size=1)
    (instance,) = task.instances()
    (score,) = task.score([answered(instance, "It is hard to say")])
    assert score.outcomes == {"no_answer": 1}


def test_a_chat_is_asked_for_tags():
    (instance,) = find_task("reasoning_gym_leg_counting:chat", size=1).instances()
    (request,) = instance.requests
    assert request.chat
    assert request.context.startswith(instance.doc["question"].strip())
    assert request.context.endswith("Put your final answer between <answer> and </answer>.")


def test_a_base_model_goes_on_from_solved_puzzles():
    task = find_task("reasoning_gym_chain_sum:gen", size=2)
    instances = list(task.instances())
    for instance in instances:
        (request,) = instance.requests
        assert request.context.count("Question: ") == 4
        assert request.context.endswith(f"{instance.doc['question'].strip()}\nAnswer:")
        assert request.stop_sequences == ("\nQuestion:",)
    scores = task.score([answered(i, f" {i.doc['answer']}\n") for i in instances])
    assert [score.metrics["exact_match"] for score in scores] == [1, 1]
    assert task.config["num_shots"] == 3


def test_solved_puzzles_are_none_of_those_that_are_asked():
    instances = list(find_task("reasoning_gym_chain_sum:gen").instances())
    asked = {instance.doc["question"].strip() for instance in instances}
    (shots,) = {i.requests[0].context.rpartition("Question: ")[0] for i in instances}
    assert len(asked) == 50
    assert not any(question in shots for question in asked)


def test_the_chosen_ones_exist_and_settings_are_checked():
    assert set(CHOSEN) <= set(NAMES) - set(UNSOLVED)
    with pytest.raises(UserError, match="size=0: expected 1 to 1,000,000 puzzles"):
        find_task("reasoning_gym_aiw:chat", size=0)
    with pytest.raises(UserError, match="task reasoning_gym_ransom_note:chat: unknown"):
        find_task("reasoning_gym_ransom_note:chat")
