"""Filters by how long a document is, or its words."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.arguments import require_choice, require_order
from olmoflow.curate.operations.columns import numbers_of, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.symbols import at_most
from olmoflow.curate.schema import with_field
from olmoflow.curate.strings import strings_of
from olmoflow.curate.text import measures
from olmoflow.curate.text.measures import measures_of

# By whether punctuation is ignored.
_MEASURES = {
    "word": (measures.SEGMENTS, measures.PAGE_WORDS),
    "sentence": (measures.MARKS, measures.MARKS),
    "line": (measures.LINES, measures.LINES),
    "paragraph": (measures.PARAGRAPHS, measures.PARAGRAPHS),
    "char": (measures.CHARACTERS, measures.ALPHANUMERICS),
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
        sizes = np.diff(strings_of(text_of(documents, self.text_field)).offsets)
        return Outcome(documents, (sizes >= self.lower_bound) & (sizes <= self.upper_bound))


@dataclass(frozen=True)
class PageLenFilter:
    """Keep texts by how many words, sentences, lines, paragraphs or characters they have.

    Words are Unicode's; in a text of nothing but ASCII, they are runs of letters and digits.
    Sentences are as many as there are ``.``, ``!`` and ``?``, and paragraphs what two newlines
    divide and is not blank; of both, any text has at least one.

    Args:
        length_type: What to count: ``word``, ``sentence``, ``line``, ``paragraph`` or ``char``.
        lower_bound: Fewest of them.
        upper_bound: Most of them.
        ignore_punctuation: Count only words with a letter or digit, and only characters that are
            one. Otherwise each punctuation mark is a word, and each code point is a character.
        text_field: The text.
    """

    length_type: str
    lower_bound: int = 1
    upper_bound: int = sys.maxsize
    ignore_punctuation: bool = True
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_choice("page_len_filter", "length_type", self.length_type, tuple(_MEASURES))
        require_order("page_len_filter", self.lower_bound, self.upper_bound)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        lengths = measured[:, _MEASURES[self.length_type][self.ignore_punctuation]]
        if self.length_type in ("sentence", "paragraph"):
            lengths = np.maximum(lengths, 1)
        return Outcome(documents, (lengths >= self.lower_bound) & (lengths <= self.upper_bound))


@dataclass(frozen=True)
class WordLenFilter:
    """Keep texts by the mean bytes of their words, which white space divides.

    A text without a word goes.

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
        size = measured[:, measures.PIECE_BYTES].astype(np.float32)
        with np.errstate(all="ignore"):
            means = size / measured[:, measures.PIECES].astype(np.float32)
            lower, upper = np.float32(self.lower_bound), np.float32(self.upper_bound)
        return Outcome(documents, (means >= lower) & (means <= upper))


@dataclass(frozen=True)
class WordCountAdder:
    """Note how many words a text has, by Unicode's rules.

    Args:
        word_count_field: Where to note it.
        text_field: The text.
    """

    word_count_field: str = "original_word_count"
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        words = measures_of(text_of(documents, self.text_field))[:, measures.WORDS]
        return Outcome(with_field(documents, self.word_count_field, pa.chunked_array([words])))


@dataclass(frozen=True)
class WordRemovalRatioFilter:
    """Keep texts of which no more than a share of the words has been taken away.

    A text that had no word, and has none, goes. One with more words than were noted stays, and so
    does one without a note, where datamap-rs stops.

    Args:
        word_count_field: Where `WordCountAdder` noted how many there were.
        upper_bound: The highest share.
        text_field: The text.
    """

    word_count_field: str = "original_word_count"
    upper_bound: float = 1.0
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        words = measures_of(text_of(documents, self.text_field))[:, measures.WORDS]
        before = numbers_of(documents, self.word_count_field, np.nan)
        keep = at_most(before - words, self.upper_bound, before) | np.isnan(before)
        return Outcome(documents, keep)
