"""HumanEval and MBPP: all reference programs pass, and what prompts show."""

import ast

import pytest

from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.task import GenerateResponse


def answered(instance, *texts):
    n = len(texts)
    return instance, [GenerateResponse(texts, (0.0,) * n, (1,) * n, (True,) * n)]


def scored(task, instances, texts):
    return task.score([answered(i, text) for i, text in zip(instances, texts, strict=True)])


def up_to_stop(text, request):
    """What a model's answer is cut to."""
    return text[: min((text.find(s) for s in request.stop_sequences if s in text), default=None)]


def test_every_reference_solution_of_humaneval_passes():
    task = find_task("humaneval:gen")
    instances = list(task.instances())
    assert len(instances) == 164
    golds = [up_to_stop(i.doc["canonical_solution"], i.requests[0]) for i in instances]
    scores = scored(task, instances, golds)
    assert [s.metrics["pass_at_1"] for s in scores] == [1] * 164
    assert {tuple(s.outcomes) for s in scores} == {("scored",)}
    empty = scored(task, instances, ["    pass\n"] * 164)
    assert [s.metrics["pass_at_1"] for s in empty] == [0] * 164


def test_every_reference_solution_of_mbpp_passes():
    task = find_task("mbpp:gen")
    instances = list(task.instances())
    assert len(instances) == 500
    golds = [i.doc["code"].replace("\r\n", "\n") for i in instances]
    passed = [s.metrics["pass_at_1"] for s in scored(task, instances, golds)]
    assert [i.native_id for i, p in zip(instances, passed, strict=True) if not p] == []
    # OLMES's stop sequences leave two of them unfinished.
    cut = [up_to_stop(gold, i.requests[0]) for i, gold in zip(instances, golds, strict=True)]
    changed = [i.native_id for i, a, b in zip(instances, golds, cut, strict=True) if a != b]
    assert changed == [64, 342]


def test_humanevals_shots_are_programs_that_run():
    (instance,) = find_task("humaneval:gen").instances(1)
    prompt = instance.requests[0].context
    assert prompt.endswith(instance.doc["prompt"])
    ast.parse(prompt.removesuffix(instance.doc["prompt"]))
    (wheel,) = find_task("humaneval:bpb").instances(1)
    with pytest.raises(IndentationError):
        ast.parse(wheel.requests[0].context.removesuffix(instance.doc["prompt"]))
    (bare,) = find_task("humaneval:gen:0shot").instances(1)
    assert bare.requests[0].context == instance.doc["prompt"]


def test_a_chat_answers_in_a_block():
    task = find_task("humaneval:chat")
    instances = list(task.instances(20))
    request = instances[0].requests[0]
    assert request.chat
    assert f"```python\n{instances[0].doc['prompt']}```" in request.context
    whole = [i.doc["prompt"] + i.doc["canonical_solution"] for i in instances]
    texts = [f"<think>A loop?</think>Here it is:\n```python\n{code}```\nIt runs." for code in whole]
    assert all(s.metrics["pass_at_1"] == 1 for s in scored(task, instances, texts))
    assert all(s.metrics["pass_at_1"] == 0 for s in scored(task, instances, ["I cannot."] * 20))


def test_a_chat_may_leave_out_imports_and_helpers():
    task = find_task("humaneval:chat")
    instances = [i for i in task.instances() if i.native_id in ("HumanEval/0", "HumanEval/38")]
    texts = []
    for instance in instances:
        head = instance.doc["prompt"]
        function = head[head.rindex("\ndef ") :]  # without `from typing …`, without encode_cyclic
        texts.append(f"```python\n{function}{instance.doc['canonical_solution']}```")
    assert [s.metrics["pass_at_1"] for s in scored(task, instances, texts)] == [1, 1]


def test_a_chat_sees_the_tests_of_mbpp():
    task = find_task("mbpp:chat")
    instances = list(task.instances(20))
    for instance in instances:
        prompt = instance.requests[0].context
        assert prompt.startswith(instance.doc["text"])
        assert all(test in prompt for test in instance.doc["test_list"])
    texts = [f"```python\n{i.doc['code']}\n```" for i in instances]
    assert all(s.metrics["pass_at_1"] == 1 for s in scored(task, instances, texts))


def test_samples_pass_at_k():
    task = find_task("humaneval:gen", samples=4)
    (instance,) = task.instances(1)
    right = instance.doc["canonical_solution"]
    (score,) = task.score([answered(instance, right, "    return 7\n", "    syntax error", right)])
    assert score.metrics["pass_at_1"] == 0.5
    assert score.metrics["pass_at_2"] == pytest.approx(1 - 1 / 6)
    assert score.metrics["pass_at_4"] == 1
    assert "maj_at_2" not in score.metrics
