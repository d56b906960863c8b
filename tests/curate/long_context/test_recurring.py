"""Every statement is checked again, by searching the sections of the text as it was written."""

import json
import re

import pytest

from olmoflow.curate.long_context.parts import sections
from olmoflow.curate.long_context.recurring import RecurringPhrases

ITEM = r"\n\n(?:Question|Claim): [^\n]*(?:\n[A-H]\. [^\n]*)*\nAnswer: [^\n]*"
TASK = rf"\n\n(?:Exercise|Flashcards|Claims|Timeline) on part \d+(?:{ITEM})+"


@pytest.fixture(scope="module")
def written(documents):
    """(sections of the part, task) for some seeds."""
    found = []
    for seed in range(8):
        outcome = RecurringPhrases(seed=seed)(documents)
        assert outcome.keep.tolist() == [True, True, True, False]
        for text, tasks in zip(
            outcome.documents["text"].to_pylist()[:3],
            outcome.documents["metadata.synth_rex"].to_pylist(),
            strict=False,
        ):
            parts = re.split(TASK, text)
            for task in json.loads(tasks):
                found.append((sections(parts[task["part"] - 1]), task))
                for item in task["items"]:
                    assert f": {item['question']}\nAnswer: {item['answer']}" in text
    return found


def places(part, phrase):
    """The sections that have a phrase, counted from 1."""
    pattern = r"\b" + r"\W+".join(phrase.split()) + r"\b"
    return [n for n, one in enumerate(part, 1) if re.search(pattern, one, re.IGNORECASE)]


def of_form(written, form):
    tasks = [
        (part, item) for part, task in written if task["form"] == form for item in task["items"]
    ]
    assert len(tasks) >= 5
    return tasks


def test_exercises_name_the_sections(written):
    for part, item in of_form(written, "exercise"):
        listed = [int(number) for number in item["answer"].partition(":")[2].strip(" .").split(",")]
        assert listed == places(part, item["phrase"])
        assert 1 < len(listed) < len(part)


def test_flashcards_have_one_right_choice(written):
    for part, item in of_form(written, "flashcards"):
        counts = [len(places(part, choice)) for choice in item["choices"]]
        best = item["choices"].index(item["phrase"])
        assert [n for n, count in enumerate(counts) if count == max(counts)] == [best]
        letter = "ABCDEFGH"[best]
        assert item["answer"] == f"{letter}. {item['phrase']}, in {max(counts)} sections."
        assert f"\n{letter}. {item['phrase']}" in item["question"]


def test_claims_are_true_or_false_as_said(written):
    seen = set()
    for part, item in of_form(written, "claims"):
        a, b = (places(part, phrase) for phrase in item["pair"])
        true = len(a) > len(b) if item["kind"] == "more" else a[0] < b[0]
        assert item["answer"].startswith("True: " if true else "False: ")
        seen.add((item["kind"], true))
    assert seen == {(kind, true) for kind in ("more", "earlier") for true in (True, False)}


def test_timelines_are_in_order(written):
    for part, item in of_form(written, "timeline"):
        firsts = [places(part, phrase)[0] for phrase in item["order"]]
        assert firsts == sorted(set(firsts))
        assert item["answer"] == "; ".join(item["order"]) + "."


def test_a_document_is_written_by_seed_and_id_alone(documents):
    whole = RecurringPhrases(seed=3)(documents).documents
    alone = RecurringPhrases(seed=3)(documents.slice(1, 1)).documents
    assert alone["text"][0] == whole["text"][1]
