"""Filters by how long a document is, or its words."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.arguments import require_choice, require_order
from olmoflow.curate.operations.columns import numbers_of, strings_in, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field
from olmoflow.curate.text import measures
from olmoflow.curate.text.measures import measures_of
from olmoflow.curate.text.sentences import count_sentences

_MEASURES = {
    "word": measures.WORDS,
    "line": measures.LINES,
    "paragraph": measures.PARAGRAPHS,
    "char": measures.CHARACTERS,
}


@dataclass(frozen=True)
class NonNullFilter:
    """Keep documents that have a text, be it an empty one."""

    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = text_of(documents, self.text_field)
        return Outcome(documents, np.asarray(texts.is_valid()))


@dataclass(frozen=True)
class TextLenFilter:
    """Keep texts by their bytes in UTF-8.

    Args:
        lower_bound: Fewest bytes.
        upper_bound: Most bytes.
        text_field: The text.
    """

    lower_bound: int = 0
    upper_bound: int = sys.maxsize
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_order("text_len_filter", self.lower_bound, self.upper_bound)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        sizes = np.diff(strings_in(text_of(documents, self.text_field)).offsets)
        return Outcome(documents, (sizes >= self.lower_bound) & (sizes <= self.upper_bound))


@dataclass(frozen=True)
class PageLenFilter:
    """Keep texts by how many words, sentences, lines, paragraphs or characters they have.

    Args:
        length_type: What to count. Lines are those that are not blank; paragraphs are divided by
            blank lines; characters are code points.
        lower_bound: Fewest of them.
        upper_bound: Most of them.
        ignore_punctuation: Of words: whether what has neither letter nor number does not count.
        text_field: The text.
    """

    length_type: str
    lower_bound: int = 1
    upper_bound: int = sys.maxsize
    ignore_punctuation: bool = True
    text_field: str = "text"

    def __post_init__(self) -> None:
        choices = ("word", "sentence", "line", "paragraph", "char")
        require_choice("page_len_filter", "length_type", self.length_type, choices)
        require_order("page_len_filter", self.lower_bound, self.upper_bound)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        column = text_of(documents, self.text_field)
        if self.length_type == "sentence":
            lengths = count_sentences(strings_in(column))
        elif self.length_type == "word" and not self.ignore_punctuation:
            lengths = measures_of(column)[:, measures.SEGMENTS]
        else:
            lengths = measures_of(column)[:, _MEASURES[self.length_type]]
        return Outcome(documents, (lengths >= self.lower_bound) & (lengths <= self.upper_bound))


@dataclass(frozen=True)
class WordLenFilter:
    """Keep texts by the mean length of their words, in characters; 0 if there is no word.

    Args:
        lower_bound: The shortest mean.
        upper_bound: The longest mean.
        text_field: The text.
    """

    lower_bound: float = 0.0
    upper_bound: float = math.inf
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_order("word_len_filter", self.lower_bound, self.upper_bound)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        characters = measured[:, measures.WORD_CHARACTERS]
        means = characters / np.maximum(measured[:, measures.WORDS], 1)
        return Outcome(documents, (means >= self.lower_bound) & (means <= self.upper_bound))


@dataclass(frozen=True)
class WordCountAdder:
    """Note how many words a text has.

    Args:
        word_count_field: Where to note it.
        text_field: The text.
    """

    word_count_field: str
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        words = measures_of(text_of(documents, self.text_field))[:, measures.WORDS]
        return Outcome(with_field(documents, self.word_count_field, pa.chunked_array([words])))


@dataclass(frozen=True)
class WordRemovalRatioFilter:
    """Keep texts of which no more than a share of the words has been taken away.

    Args:
        word_count_field: Where `WordCountAdder` noted how many there were. A document without
            that note stays.
        upper_bound: The highest share.
        text_field: The text.
    """

    word_count_field: str
    upper_bound: float = 1.0
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        words = measures_of(text_of(documents, self.text_field))[:, measures.WORDS]
        before = numbers_of(documents, self.word_count_field, 0.0)
        return Outcome(documents, before - words <= self.upper_bound * before)
