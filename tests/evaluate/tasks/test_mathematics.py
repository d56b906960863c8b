"""GSM8K and MATH: all reference solutions are right, votes, thinking, settings."""

import random
from dataclasses import replace
from itertools import combinations

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.mathematics import boxed_answer
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.task import GenerateResponse, Task

SUBJECTS = {
    "algebra": 1187,
    "counting_and_probability": 474,
    "geometry": 479,
    "intermediate_algebra": 903,
    "number_theory": 540,
    "prealgebra": 871,
    "precalculus": 546,
    "500": 500,
}


def answered(instance, *texts, stopped=True):
    n = len(texts)
    return instance, [GenerateResponse(texts, (0.0,) * n, (1,) * n, (stopped,) * n)]


def test_gsm8k_goes_on_from_eight_solved_questions():
    task = find_task("gsm8k:gen")
    assert isinstance(task, Task)
    instances = list(task.instances())
    assert len(instances) == 1319
    (request,) = instances[0].requests
    assert request.context.startswith("Question: There are 15 trees in the grove.")
    assert request.context.count("Question: ") == 9
    assert request.context.endswith("at the farmers' market?\nAnswer:")
    assert request.stop_sequences == ("Question:", "</s>", "<|im_end|>", "\n\n")
    assert (request.max_new_tokens, request.temperature, request.samples) == (512, 0.0, 1)
    assert not request.chat


def test_gsm8k_solutions_are_right_and_other_ones_wrong():
    task = find_task("gsm8k:gen")
    instances = list(task.instances())
    golds = [instance.doc["answer"] for instance in instances]
    scores = task.score([answered(i, gold) for i, gold in zip(instances, golds, strict=True)])
    assert {score.metrics["exact_match"] for score in scores} == {1.0}
    shifted = golds[1:] + golds[:1]
    scores = task.score([answered(i, gold) for i, gold in zip(instances, shifted, strict=True)])
    pairs = zip(instances, instances[1:] + instances[:1], strict=True)
    equal = [float(a.label.replace(",", "")) == float(b.label.replace(",", "")) for a, b in pairs]
    assert [score.metrics["exact_match"] for score in scores] == equal


@pytest.mark.parametrize(("subject", "count"), SUBJECTS.items())
def test_every_solution_of_math_is_right(subject, count):
    task = find_task(f"minerva_math_{subject}:gen")
    instances = list(task.instances())
    assert len(instances) == count
    scores = task.score([answered(i, i.doc["solution"]) for i in instances])
    assert {score.metrics["exact_match"] for score in scores} == {1.0}


def test_math_references_are_the_boxes_not_the_wheels_damaged_answers():
    instances = {i.doc_id: i for i in find_task("minerva_math_500:gen").instances()}
    assert instances[0].doc["answer"].startswith("\\le(3,")
    assert instances[0].label == "\\left( 3, \\frac{\\pi}{2} \\right)"
    assert boxed_answer({"solution": "It is $\\boxed{3, 5, 7}$.", "answer": "357"}) == "3, 5, 7"


def test_math_in_minervas_words_and_in_others():
    task = find_task("minerva_math_algebra:gen")
    (instance,) = (i for i in task.instances() if i.doc_id == 0)
    assert instance.label == "2"
    assert instance.requests[0].context.endswith("have?\n\nSolution:")
    texts = {
        " Final Answer: The final answer is $2$. I hope it is correct.": 1,
        " so there are $x=2$": 1,
        " The answer is 3.": 0,
        " \\boxed{\\frac{4}{2}}": 1,
    }
    task = task.sampled(samples=len(texts))
    (score,) = task.score([answered(instance, *texts)])
    assert score.metrics["exact_match"] == 0.75
    assert score.metrics["pass_at_2"] == 1
    assert score.outcomes == {"scored": 4}
    assert score.extracted[2] == "3"


def test_thinking_is_no_answer():
    task = find_task("gsm8k:chat")
    (instance,) = task.instances(1)
    gold = instance.label
    inside = f"<think>It is \\boxed{{{gold}}}"
    (score,) = task.score([answered(instance, inside, stopped=False)])
    assert score.metrics["exact_match"] == 0
    assert score.metrics["stopped"] == 0
    assert score.outcomes == {"no_answer": 1}
    (score,) = task.score([answered(instance, f"Is it 7? \\boxed{{7}}</think>\\boxed{{{gold}}}")])
    assert score.metrics["exact_match"] == 1


def test_chats_are_asked_for_a_box():
    (instance,) = find_task("minerva_math_algebra:chat", samples=4).instances(1)
    (request,) = instance.requests
    assert request.chat
    assert request.context == (
        f"{instance.doc['problem']}\n\nReason step by step, and put your final answer within "
        "\\boxed{}."
    )
    assert request.stop_sequences == ()
    assert (request.samples, request.temperature, request.top_p) == (4, 0.6, 0.95)
    assert request.max_new_tokens == 32_768


def test_several_samples_vote_and_pass():
    task = find_task("gsm8k:gen", samples=8)
    (instance,) = task.instances(1)
    (request,) = instance.requests
    assert (request.samples, request.temperature, request.top_p) == (8, 0.6, 0.6)
    right, wrong = f"The answer is {instance.label}.", "The answer is 123456789."
    texts = (wrong, right, "The answer is 7.", "no idea", right, right, wrong, wrong)
    (score,) = task.score([answered(instance, *texts)])
    assert score.metrics["exact_match"] == 3 / 8
    assert score.metrics["pass_at_2"] == pytest.approx(1 - (5 * 4) / (8 * 7))
    assert score.metrics["pass_at_8"] == 1
    # Of the first two, the one said first counts; of eight, three say each of two answers.
    assert [score.metrics[f"maj_at_{k}"] for k in (2, 4, 8)] == [0, 0, 0]
    assert score.outcomes == {"scored": 7, "no_answer": 1}
    (score,) = task.score([answered(instance, *(right,) * 5, *(wrong,) * 3)])
    assert score.metrics["maj_at_8"] == 1


@pytest.mark.parametrize("n", [1, 2, 3, 6, 8])
def test_every_k_is_what_all_draws_and_counted_votes_come_to(n):
    task, draw = find_task("gsm8k:gen", samples=n), random.Random(n)
    assert task.generation.ks == [k for k in (2, 3, 4, 6, 8) if k == n or (k < n and k in (2, 4))]
    (instance,) = task.instances(1)
    said = [str(instance.label), "7", "8", None]
    rows = [[draw.choice(said) for _ in range(n)] for _ in range(20)]
    texts = [[f"The answer is {s}." if s else "no idea" for s in row] for row in rows]
    scores = task.score([answered(instance, *each) for each in texts])
    for row, score in zip(rows, scores, strict=True):
        right = [answer == said[0] for answer in row]
        assert score.metrics["exact_match"] == pytest.approx(sum(right) / n)
        assert {k for k in score.metrics if "_at_" in k} == {
            f"{kind}_at_{k}" for kind in ("pass", "maj") for k in task.generation.ks
        }
        for k in task.generation.ks:
            draws = [any(chosen) for chosen in combinations(right, k)]
            assert score.metrics[f"pass_at_{k}"] == pytest.approx(sum(draws) / len(draws))
            votes = [answer for answer in row[:k] if answer]
            most = max((votes.count(v) for v in votes), default=0)
            elected = next((v for v in votes if votes.count(v) == most), None)
            assert score.metrics[f"maj_at_{k}"] == (elected == said[0])


def test_answers_written_differently_vote_together():
    task = find_task("minerva_math_algebra:gen", samples=4)
    (instance,) = task.instances(1)
    instance = replace(instance, label="1/2")
    texts = ("\\boxed{7}", "\\boxed{\\frac12}", "\\boxed{0.5}", "\\boxed{8}")
    (score,) = task.score([answered(instance, *texts)])
    assert score.metrics["maj_at_4"] == 1


def test_settings_decide_the_config():
    plain = find_task("gsm8k:gen")
    assert plain.config == find_task("gsm8k:gen").config
    assert plain.config["verifier"] == {"name": "gsm8k"}
    assert plain.config["num_shots"] == 8
    assert plain.config != find_task("gsm8k:gen", max_new_tokens=256).config
    assert find_task("gsm8k:chat").config["num_shots"] == 0
    assert replace(plain, verifier_settings={"strict": True}).config != plain.config


def test_samples_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="samples=4, temperature=0: greedy samples are all the"):
        find_task("gsm8k:gen", samples=4, temperature=0)
    with pytest.raises(UserError, match=r"temperature=0.6, top_p=1.5: expected"):
        find_task("gsm8k:gen", samples=4, top_p=1.5)
    for temperature in (float("nan"), float("inf"), -0.1):
        with pytest.raises(UserError, match="expected a temperature of at least 0"):
            find_task("gsm8k:gen", samples=4, temperature=temperature)
    assert find_task("gsm8k:gen", samples=2, temperature=1).generation.temperature == 1
    with pytest.raises(UserError, match="samples=0, max_new_tokens=512: expected numbers above 0"):
        find_task("gsm8k:gen", samples=0)
    with pytest.raises(UserError, match="gsm8k:gen: has no setting shots; expected one of"):
        find_task("gsm8k:gen", shots=5)
