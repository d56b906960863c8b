"""A filter by what is said again and again: sentences, paragraphs, phrases.

A phrase is a run of words wherever it stands, unlike in `operations.repetition`, where a piece of
tokens stands many times one right behind the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.conversations.outcome import without_faults
from olmoflow.curate.conversations.turns import check_which, texts_of
from olmoflow.curate.decontaminate.settings import PUNCTUATION
from olmoflow.curate.decontaminate.words import hash_words
from olmoflow.curate.operations.arguments import refuse
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.strings import strings_of

_STEP = "repeated_passage_filter"
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+|(?<=[。！？])")


@dataclass(frozen=True)
class RepeatedPassageFilter:
    """Keep conversations that do not say the same over and over.

    Olmo 3's limits are sentences or paragraphs that stand ten times and phrases that stand fifty
    times; how long they have to be to count is ours. Short ones recur in any long train of thought.

    Args:
        turns: Which turns are looked at, by a name of `turns.WHICH`.
        sentences: A sentence or paragraph that stands so many times is too much.
        phrases: So is a phrase that stands so many times.
        min_words: Fewer words are no sentence or paragraph that counts.
        phrase_words: Of a phrase.
    """

    turns: str = "assistant"
    sentences: int = 10
    phrases: int = 50
    min_words: int = 5
    phrase_words: int = 5

    def __post_init__(self) -> None:
        check_which(_STEP, self.turns)
        for key in ("sentences", "phrases"):
            if (value := getattr(self, key)) < 2:
                refuse(_STEP, key, value, "2 or more")
        for key in ("min_words", "phrase_words"):
            if (value := getattr(self, key)) < 1:
                refuse(_STEP, key, value, "1 or more")

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = texts_of(documents, self.turns)
        words, offsets = hash_words(strings_of(pa.array(texts, pa.large_string())), PUNCTUATION)
        most = most_frequent(words, offsets, self.phrase_words)
        pairs = zip(texts, most.tolist(), strict=True)
        faults = [next(self._faults(text, count), None) for text, count in pairs]
        return without_faults(documents, faults, {})

    def _faults(self, text: str, phrase: int) -> Iterator[str]:
        for kind, pattern in (("paragraph", _PARAGRAPH), ("sentence", _SENTENCE)):
            if self._recurs(pattern.split(text)):
                yield f"a {kind} {self.sentences} times or more"
        if phrase >= self.phrases:
            yield f"a phrase {self.phrases} times or more"

    def _recurs(self, passages: list[str]) -> bool:
        counts = Counter(passage.strip() for passage in passages)
        often = (passage for passage, count in counts.items() if count >= self.sentences)
        return any(_words(passage) >= self.min_words for passage in often)


def _words(passage: str) -> int:
    """Words, each character being one where a script has no spaces."""
    return len(hash_words(strings_of(pa.array([passage], pa.large_string())), PUNCTUATION)[0])


@njit(cache=True, nogil=True)
def most_frequent(
    words: NDArray[np.uint64], offsets: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """[texts], how often the most frequent run of ``size`` words stands in a text.

    Args:
        words: [words], hashes.
        offsets: [texts + 1], where a text's words begin.
        size: Words of a run.
    """
    most = np.zeros(len(offsets) - 1, np.int64)
    for text in range(len(most)):
        start, count = offsets[text], offsets[text + 1] - offsets[text] - size + 1
        if count < 1:
            continue
        runs = np.zeros(count, np.uint64)
        for place in range(count):
            for k in range(size):
                runs[place] = runs[place] * np.uint64(0x9E3779B97F4A7C15) + words[start + place + k]
        runs.sort()
        first = 0
        for place in range(1, count + 1):
            if place == count or runs[place] != runs[first]:
                most[text] = max(most[text], place - first)
                first = place
    return most
