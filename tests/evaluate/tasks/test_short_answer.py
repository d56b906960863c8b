"""Generated short answers: what is asked, what a right, a near and no answer are worth."""

import pytest

from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluate.tasks.short_answer import STOPS
from olmoflow.evaluate.tasks.task import GenerateResponse

FOLDERS = {
    "coqa": "coqa/bpb_0shot",
    "drop": "drop/bpb_5shot",
    "jeopardy": "jeopardy/bpb_5shot",
    "naturalqs": "naturalqs_open/bpb_5shot",
    "squad": "squad/bpb_5shot",
}


def said(text):
    return [GenerateResponse((text,), (0.0,), (1,), (True,))]


@pytest.mark.parametrize("task", STOPS)
def test_prompts_stops_and_lengths_are_the_wheels(task, rows):
    found = [i.requests[0] for i in find_task(f"{task}:gen").instances()]
    expected = rows(FOLDERS[task])
    assert [r.context for r in found] == [row["request"]["context"] for row in expected]
    for row in expected:
        assert tuple(row["request"]["stop_sequences"]) == STOPS[task]
        assert row["request"]["generation_kwargs"] == {
            "max_gen_toks": 50,
            "temperature": 0.0,
            "do_sample": False,
        }
    assert {(r.max_new_tokens, r.temperature, r.samples) for r in found} == {(50, 0.0, 1)}


@pytest.mark.parametrize("task", ["coqa", "jeopardy", "squad"])
def test_every_reference_answers_its_question(task):
    gen = find_task(f"{task}:gen")
    answered = []
    for instance in gen.instances(300):
        references = [instance.label] if isinstance(instance.label, str) else instance.label
        answered += [(instance, said(f" {reference}")) for reference in references]
    assert {s.metrics["exact_match"] for s in gen.score(answered)} == {1.0}
    assert {s.metrics["f1"] for s in gen.score(answered)} == {1.0}


def test_drop_wants_all_spans_and_its_numbers_right():
    gen = find_task("drop:gen")
    by_label = {str(i.label): i for i in gen.instances()}
    number = by_label["[['1507'], ['1477']]"]
    spans = by_label["[['Massoud Barzani', 'Jalal Talabani'], ['massoun barzani']]"]
    scores = gen.score(
        [
            (number, said(" 1507")),
            (number, said(" 1507.0 people")),
            (number, said(" 1508")),
            (spans, said(" Massoud Barzani")),
        ]
    )
    assert [s.metrics["exact_match"] for s in scores] == [1.0, 0.0, 0.0, 0.0]
    # 2 words of which 1 is right: 2·(1/2)·1/(3/2). A span of two; or half of another reference.
    assert [s.metrics["f1"] for s in scores] == [1.0, 0.67, 0.0, 0.5]


def test_no_answer_is_counted_apart_and_never_right():
    gen = find_task("naturalqs:gen")
    dashes = next(i for i in gen.instances() if i.label == ["---"])  # nothing, once normalised
    silent, right = gen.score([(dashes, said(" \n")), (dashes, said(" ---"))])
    assert (silent.outcomes, silent.extracted) == ({"no_answer": 1}, (None,))
    assert set(silent.metrics.values()) == {0.0}
    assert (right.outcomes, right.metrics["exact_match"]) == ({"scored": 1}, 1.0)
