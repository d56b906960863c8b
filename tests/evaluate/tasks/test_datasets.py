"""Tasks from plain data sets, against the wheel's own code."""

from types import SimpleNamespace

import pytest

from olmoflow.evaluate.tasks.datasets import CHOICES, GOLD_ANSWERS
from olmoflow.evaluate.tasks.registry import find_task

CLASSES = {
    "copa": "COPA",
    "commitment_bank": "CommitmentBank",
    "rte": "RTE",
    "mrpc": "MRPC",
    "sst2": "SST2",
    "basic_arithmetic": "BasicArithmetic",
    "trivia_qa": "TriviaQACELoss",
    "nq_open": "NaturalQuestionsCELoss",
}
# Whose methods these are.
PARENTS = {"BasicArithmetic": "ArcEasy"}


@pytest.mark.parametrize("task", CLASSES)
def test_prompts_choices_and_labels_are_those_of_the_wheels_own_code(task, wheel_method):
    name = PARENTS.get(CLASSES[task], CLASSES[task])
    text, choices, label = (
        wheel_method(name, f"doc_to_{what}") for what in ("text", "continuations", "label")
    )
    theirs = SimpleNamespace()
    if task in ("mrpc", "sst2"):
        theirs.preprocess = lambda string: wheel_method(name, "preprocess")(None, string)
    documents = {**CHOICES, **GOLD_ANSWERS}[task]
    read = list(documents.read())
    assert len(read) == documents.count
    for document in read[:500]:
        row = dict(document.doc)
        assert [context for context, _ in document.choices] == (
            [text(theirs, row)] * len(document.choices)
        )
        assert [choice for _, choice in document.choices] == list(choices(theirs, row))
        assert document.label == label(theirs, row)


def test_they_are_tasks():
    instance = next(find_task("copa:rc").instances())
    assert [r.continuation for r in instance.requests] == [
        " the toilet filled with water.",
        " water flowed from the spout.",
    ]
    assert instance.requests[0].context == "The man turned on the faucet therefore"
    assert instance.label == 1
    gold = next(find_task("copa:bpb").instances())
    assert [r.continuation for r in gold.requests] == [" water flowed from the spout."]
    assert find_task("rte:rc").primary_metric == "acc_per_char"
    assert len(next(find_task("trivia_qa:bpb").instances()).requests) == 1
