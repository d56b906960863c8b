"""Tasks on what comes back in a part of a long document, in the manner of Ai2's REX.

REX takes phrases that recur in a part, gathers the sections that have each, and has a language
model write one of twelve forms over them: a quiz, flashcards, claims, a dialogue. Here forms that
need no model are written, of which every statement can be checked against the text: so they ask for
gathering what is spread over a part, not for understanding it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from olmoflow.curate.long_context.parts import joined, parts
from olmoflow.curate.long_context.wording import in_words, recurring_phrases
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field

Phrases = list[tuple[str, list[int]]]
Task = dict[str, Any]

_LETTERS = "ABCDEFGH"


class RecurringPhrases:
    """Puts a task on recurring phrases behind each part of a document.

    A part is the text since the task before it; its sections are counted from 1 (see `parts`). The
    forms are an exercise (in how many sections is a phrase?), flashcards (which phrase is in the
    most sections?), claims (true or false: a phrase is in more sections than another, or earlier)
    and a timeline (phrases in the order in which they first appear). Documents in which nothing
    recurs are dropped.

    Args:
        seed: Of all that is drawn; together with a document's id it decides it.
        phrases: How many phrases, the highest by tf-idf, a task is made of.
        items: Questions, cards or claims in a task.
        output: Field that receives the tasks, as JSON: a list of objects with ``part``, ``form``,
            ``phrases`` (each with its sections) and ``items``.
    """

    def __init__(
        self, seed: int = 0, phrases: int = 10, items: int = 5, output: str = "metadata.synth_rex"
    ) -> None:
        self.seed, self.phrases, self.items, self.output = seed, phrases, items, output

    def __call__(self, documents: pa.Table) -> Outcome:
        """Make the texts of a batch."""
        ids, texts = documents.column("id").to_pylist(), documents.column("text").to_pylist()
        made = [
            self.write(text or "", Random(f"{self.seed} {id}"))
            for id, text in zip(ids, texts, strict=True)
        ]
        text = pa.array([text for text, _ in made], pa.large_string())
        tasks = [json.dumps(tasks, ensure_ascii=False) if tasks else None for _, tasks in made]
        documents = with_field(documents, "text", text)
        documents = with_field(documents, self.output, pa.array(tasks, pa.large_string()))
        return Outcome(documents, np.array([bool(tasks) for _, tasks in made], bool))

    def write(self, text: str, random: Random) -> tuple[str, list[Task]]:
        """A document with its tasks, and what they are."""
        blocks: list[str] = []
        tasks: list[Task] = []
        for number, part in enumerate(parts(text, random), 1):
            blocks.append(joined(part))
            phrases = recurring_phrases(part, self.phrases)
            form = random.choice(list(_FORMS))
            items = _FORMS[form](phrases, self.items, random) if len(phrases) > 1 else []
            if items:
                blocks.append(_text(number, form, items))
                tasks.append({"part": number, "form": form, "phrases": phrases, "items": items})
        return ("\n\n".join(blocks), tasks) if tasks else (text, [])


def _exercise(phrases: Phrases, number: int, random: Random) -> list[Task]:
    items = []
    for phrase, places in random.sample(phrases, min(number, len(phrases))):
        count = random.choice((str(len(places)), in_words(len(places))))
        listed = ", ".join(str(place + 1) for place in places)
        items.append(
            {
                "phrase": phrase,
                "question": f"How many sections of this part speak of “{phrase}”, and which?",
                "answer": f"{count.capitalize()}: {listed}.",
            }
        )
    return items


def _flashcards(phrases: Phrases, number: int, random: Random) -> list[Task]:
    items: list[Task] = []
    for _ in range(number):
        choices = random.sample(phrases, min(random.randint(2, 6), len(phrases)))
        most = max(len(places) for _, places in choices)
        best = [place for place, (_, places) in enumerate(choices) if len(places) == most]
        if len(best) != 1:  # no card has two answers
            continue
        listed = "\n".join(
            f"{letter}. {phrase}" for letter, (phrase, _) in zip(_LETTERS, choices, strict=False)
        )
        phrase = choices[best[0]][0]
        items.append(
            {
                "choices": [phrase for phrase, _ in choices],
                "phrase": phrase,
                "question": f"Which of these is in the most sections of this part?\n{listed}",
                "answer": f"{_LETTERS[best[0]]}. {phrase}, in {most} sections.",
            }
        )
    return items


def _claims(phrases: Phrases, number: int, random: Random) -> list[Task]:
    items: list[Task] = []
    for _ in range(number):
        (a, first), (b, second) = random.sample(phrases, 2)
        if random.random() < 0.5:
            question = f"“{a}” is in more sections of this part than “{b}”."
            true = len(first) > len(second)
            why = f"“{a}” is in {len(first)}, “{b}” in {len(second)}"
            kind = "more"
        elif first[0] == second[0]:
            continue
        else:
            question = f"“{a}” is first spoken of in an earlier section of this part than “{b}”."
            true = first[0] < second[0]
            why = f"“{a}” first is in section {first[0] + 1}, “{b}” in section {second[0] + 1}"
            kind = "earlier"
        answer = f"{'True' if true else 'False'}: {why}."
        items.append(
            {"kind": kind, "pair": [a, b], "true": true, "question": question, "answer": answer}
        )
    return items


def _timeline(phrases: Phrases, number: int, random: Random) -> list[Task]:
    """Phrases whose first sections differ, so that their order is one."""
    by_section = {places[0]: phrase for phrase, places in reversed(phrases)}
    chosen = random.sample(sorted(by_section), min(number, len(by_section)))
    if len(chosen) < 2:
        return []
    shuffled = "; ".join(by_section[place] for place in chosen)
    ordered = [by_section[place] for place in sorted(chosen)]
    question = f"Put these in the order in which this part first speaks of them: {shuffled}."
    return [{"order": ordered, "question": question, "answer": "; ".join(ordered) + "."}]


def _text(part: int, form: str, items: list[Task]) -> str:
    heading = f"{form.capitalize()} on part {part}"
    asks = "Claim" if form == "claims" else "Question"
    lines = [f"{asks}: {item['question']}\nAnswer: {item['answer']}" for item in items]
    return "\n\n".join([heading, *lines])


_FORMS: dict[str, Callable[[Phrases, int, Random], list[Task]]] = {
    "exercise": _exercise,
    "flashcards": _flashcards,
    "claims": _claims,
    "timeline": _timeline,
}
