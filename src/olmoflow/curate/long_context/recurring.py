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

from olmoflow.curate.long_context.parts import GAP, joined, parts
from olmoflow.curate.long_context.wording import Phrase, in_words, recurring_phrases
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field

Task = dict[str, Any]

_LETTERS = "ABCDEF"
_MOST_QUOTES = 8
_QUOTED_WORDS = 6


class RecurringPhrases:
    """Puts a task on recurring phrases behind each part of a document.

    A part is the text since the task before it (see `parts`). The forms are an exercise (how often
    is a phrase there, and how does the text go on each time?), flashcards (which phrase is there
    most often?), claims (true or false: a phrase is there more often than another, or earlier) and
    a timeline (phrases in the order in which they first appear). Case makes no
    difference; punctuation between words does. Documents in which nothing recurs are dropped.

    Args:
        seed: Of all that is drawn; together with a document's id it decides it.
        phrases: How many phrases, the highest by tf-idf, a task is made of.
        items: Questions, cards or claims in a task.
        output: Field that receives the tasks, as JSON: a list of objects with ``part`` (from 1),
            ``form`` and ``items``, each with ``question`` and ``answer`` and what they speak of.
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
        part: list[str] = []
        for more in parts(text, random):
            part += more  # and what stands before it, if no task could be made of that
            phrases = recurring_phrases(part, GAP, self.phrases)
            for form in random.sample(list(_FORMS), len(_FORMS)):
                if items := _FORMS[form](joined(part), phrases, self.items, random):
                    number = len(tasks) + 1
                    blocks += [joined(part), _text(number, form, items)]
                    tasks.append({"part": number, "form": form, "items": items})
                    part = []
                    break
        blocks += [joined(part)] if part else []
        return (GAP.join(blocks), tasks) if tasks else (text, [])


def _exercise(text: str, phrases: list[Phrase], number: int, random: Random) -> list[Task]:
    few = [phrase for phrase in phrases if len(phrase.starts) <= _MOST_QUOTES]
    items: list[Task] = []
    for phrase in random.sample(few, min(number, len(few))):
        count = len(phrase.starts)
        quotes = [_behind(text, end) for end in phrase.ends]
        said = random.choice((str(count), in_words(count).capitalize()))
        items.append(
            {
                "phrase": phrase.words,
                "count": count,
                "quotes": quotes,
                "question": f"How often does this part speak of “{phrase.words}”, and how does the "
                "text go on each time?",
                "answer": f"{said} times: " + "; ".join(f"“{quote}”" for quote in quotes) + ".",
            }
        )
    return items


def _behind(text: str, place: int) -> str:
    """The next words of a text, with white space as single spaces."""
    following = text[place : place + 20 * _QUOTED_WORDS].split()
    return " ".join(following[:_QUOTED_WORDS])


def _flashcards(text: str, phrases: list[Phrase], number: int, random: Random) -> list[Task]:
    items: list[Task] = []
    for _ in range(number if len(phrases) > 1 else 0):
        choices = random.sample(phrases, min(random.randint(2, 6), len(phrases)))
        counts = [len(phrase.starts) for phrase in choices]
        if counts.count(max(counts)) > 1:  # no card has two answers
            continue
        best = counts.index(max(counts))
        listed = "\n".join(f"{_LETTERS[n]}. {phrase.words}" for n, phrase in enumerate(choices))
        items.append(
            {
                "choices": [phrase.words for phrase in choices],
                "best": best,
                "question": f"Which of these does this part speak of most often?\n{listed}",
                "answer": f"{_LETTERS[best]}. {choices[best].words}, {max(counts)} times.",
            }
        )
    return items


def _claims(text: str, phrases: list[Phrase], number: int, random: Random) -> list[Task]:
    items: list[Task] = []
    for _ in range(number if len(phrases) > 1 else 0):
        a, b = random.sample(phrases, 2)
        first, second = len(a.starts), len(b.starts)
        kind = random.choice(("more often", "earlier"))
        true = first > second if kind == "more often" else a.starts[0] < b.starts[0]
        why = f"“{a.words}” is there {_times(first)}, “{b.words}” {_times(second)}"
        if kind == "earlier":
            why = f"the first of the two is “{(a if true else b).words}”"
        items.append(
            {
                "kind": kind,
                "pair": [a.words, b.words],
                "true": true,
                "question": f"This part speaks of “{a.words}” {kind} than of “{b.words}”.",
                "answer": f"{'True' if true else 'False'}: {why}.",
            }
        )
    return items


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _timeline(text: str, phrases: list[Phrase], number: int, random: Random) -> list[Task]:
    if len(phrases) < 2:
        return []
    chosen = random.sample(phrases, min(number, len(phrases)))
    ordered = [phrase.words for phrase in sorted(chosen, key=lambda one: one.starts[0])]
    shuffled = "; ".join(phrase.words for phrase in chosen)
    question = f"Put these in the order in which this part first speaks of them: {shuffled}."
    return [{"order": ordered, "question": question, "answer": "; ".join(ordered) + "."}]


def _text(part: int, form: str, items: list[Task]) -> str:
    heading = f"{form.capitalize()} on part {part}"
    asks = "Claim" if form == "claims" else "Question"
    lines = [f"{asks}: {item['question']}\nAnswer: {item['answer']}" for item in items]
    return "\n\n".join([heading, *lines])


_FORMS: dict[str, Callable[[str, list[Phrase], int, Random], list[Task]]] = {
    "exercise": _exercise,
    "flashcards": _flashcards,
    "claims": _claims,
    "timeline": _timeline,
}
