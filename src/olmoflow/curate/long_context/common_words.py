"""Common words extraction (CWE): after each part of a long document, how often words appear in it.

Ai2 has a language model phrase the questions and keeps those whose answer is the count. Here the
questions come from a few forms, so every answer is a count, and the same seed makes the same text.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from olmoflow.curate.long_context.parts import GAP, joined, parts
from olmoflow.curate.long_context.wording import common_words, in_words
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field

_QUESTIONS = (
    "How many times does “{word}” appear in part {part}?",
    "Part {part} mentions “{word}” how often?",
    "In part {part}, what is the number of times that “{word}” comes up?",
    "How often is “{word}” found in part {part}?",
)
_ANSWERS = ("{number}", "{number} times.", "The answer is {number}.", "It is there {number} times.")


class CommonWords:
    """Puts questions and answers on the counts of words behind each part of a document.

    A part is the text since the questions before it (see `parts`). Words are compared without
    regard to case, as whole words: “captain's” is another word than “captain”. Documents of too few
    sections, or in which no word comes back, are dropped.

    Args:
        seed: Of the lengths of parts, of the words and of the forms of questions; together with a
            document's id it decides them.
        most_common: Of how many words, the most frequent of a part, those asked for are drawn.
        questions: Behind each part.
        output: Field that receives what was asked, as JSON: a list with an object of ``part`` (from
            1), ``word``, ``count``, ``question`` and ``answer`` for each question.
    """

    def __init__(
        self,
        seed: int = 0,
        most_common: int = 10,
        questions: int = 5,
        output: str = "metadata.synth_cwe",
    ) -> None:
        self.seed, self.most_common = seed, most_common
        self.questions, self.output = questions, output

    def __call__(self, documents: pa.Table) -> Outcome:
        """Make the texts of a batch."""
        ids, texts = documents.column("id").to_pylist(), documents.column("text").to_pylist()
        made = [
            self.write(text or "", Random(f"{self.seed} {id}"))
            for id, text in zip(ids, texts, strict=True)
        ]
        text = pa.array([text for text, _ in made], pa.large_string())
        asked = [json.dumps(asked, ensure_ascii=False) if asked else None for _, asked in made]
        documents = with_field(documents, "text", text)
        documents = with_field(documents, self.output, pa.array(asked, pa.large_string()))
        return Outcome(documents, np.array([bool(asked) for _, asked in made], bool))

    def write(self, text: str, random: Random) -> tuple[str, list[dict[str, Any]]]:
        """A document with its questions, and what they are."""
        blocks: list[str] = []
        asked: list[dict[str, Any]] = []
        part: list[str] = []
        number = 1
        for more in parts(text, random):
            part += more  # and what stands before it, if no word of that is there twice
            counts = common_words(joined(part), self.most_common)
            if not counts:
                continue
            blocks += [joined(part), f"Questions on part {number}"]
            for word, count in random.sample(counts, min(self.questions, len(counts))):
                asked.append(_question(number, word, count, random))
                blocks.append(f"Question: {asked[-1]['question']}\nAnswer: {asked[-1]['answer']}")
            part, number = [], number + 1
        blocks += [joined(part)] if part else []
        return (GAP.join(blocks), asked) if asked else (text, [])


def _question(part: int, word: str, count: int, random: Random) -> dict[str, Any]:
    question = random.choice(_QUESTIONS).format(word=word, part=part)
    number = random.choice((str(count), in_words(count)))
    answer = random.choice(_ANSWERS).format(number=number)
    answer = answer[:1].upper() + answer[1:]
    return {"part": part, "word": word, "count": count, "question": question, "answer": answer}
