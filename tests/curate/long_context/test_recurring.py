"""Every statement is checked again, by searching the text as it was written."""

import json
import re

import pytest

from olmoflow.curate.long_context.recurring import RecurringPhrases
from olmoflow.curate.long_context.wording import in_words

ITEM = r"\n\n(?:Question|Claim): [^\n]*(?:\n[A-H]\. [^\n]*)*\nAnswer: [^\n]*"
TASK = rf"\n\n(?:Exercise|Flashcards|Claims|Timeline) on part \d+(?:{ITEM})+"


@pytest.fixture(scope="module")
def written(documents):
    """(text of the part, task) for some seeds."""
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
                found.append((parts[task["part"] - 1], task))
                for item in task["items"]:
                    assert f": {item['question']}\nAnswer: {item['answer']}" in text
    return found


def places(part, phrase):
    """Where a phrase stands: starts and ends."""
    gap = r"(?:(?!\n\s*\n)\s)+"  # white space, but no blank line
    pattern = r"\b(?=(" + gap.join(phrase.split()) + r")\b)"
    return [match.span(1) for match in re.finditer(pattern, part, re.IGNORECASE)]


def of_form(written, form):
    found = [(part, task) for part, task in written if task["form"] == form]
    tasks = [(part, item) for part, task in found for item in task["items"]]
    assert len(tasks) >= 5
    return tasks


def test_exercises_quote_each_place(written):
    for part, item in of_form(written, "exercise"):
        found = places(part, item["phrase"])
        assert len(found) == item["count"] == len(item["quotes"])
        for (_, end), quote in zip(found, item["quotes"], strict=True):
            assert re.sub(r"\s+", " ", part[end:]).strip().startswith(quote)
            assert f"“{quote}”" in item["answer"]
        number = item["answer"].partition(" ")[0]
        assert number in (str(item["count"]), in_words(item["count"]).capitalize())


def test_flashcards_have_one_right_choice(written):
    for part, item in of_form(written, "flashcards"):
        counts = [len(places(part, choice)) for choice in item["choices"]]
        best = item["best"]
        assert [n for n, count in enumerate(counts) if count == max(counts)] == [best]
        card = f"{'ABCDEF'[best]}. {item['choices'][best]}"
        assert item["answer"] == f"{card}, {max(counts)} times."
        assert f"\n{card}" in item["question"]


def test_claims_are_true_or_false_as_said(written):
    seen = set()
    for part, item in of_form(written, "claims"):
        a, b = (places(part, phrase) for phrase in item["pair"])
        true = len(a) > len(b) if item["kind"] == "more often" else a[0] < b[0]
        assert item["answer"].startswith("True: " if true else "False: ")
        seen.add((item["kind"], true))
    assert len(seen) == 4


def test_timelines_are_in_order(written):
    for part, item in of_form(written, "timeline"):
        firsts = [places(part, phrase)[0] for phrase in item["order"]]
        assert firsts == sorted(firsts)
        assert item["answer"] == "; ".join(item["order"]) + "."


def test_a_document_is_written_by_seed_and_id_alone(documents):
    whole = RecurringPhrases(seed=3)(documents).documents
    alone = RecurringPhrases(seed=3)(documents.slice(1, 1)).documents
    assert alone["text"][0] == whole["text"][1]
