"""Filters by what a text's words and lines consist of: symbols, bullets, letters, stop words.

A word is what white space divides. Shares are numbers of 32 bits, as datamap-rs compares them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import refuse, require_share
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.text import measures
from olmoflow.curate.text.measures import STOP_WORDS, measures_of

Numbers = NDArray[np.int64] | NDArray[np.float64]


def at_most(counts: Numbers, ratio: float, of: Numbers) -> Mask:
    """Whether counts are at most a share of something. Of nothing, nothing is no share at all."""
    with np.errstate(all="ignore"):
        shares = counts.astype(np.float32) / of.astype(np.float32)
        return shares <= np.float32(ratio)


@dataclass(frozen=True)
class SymbolRatioFilter:
    """Keep texts with few symbols (``#``, ``...``, ``. . .``, ``…``) for their words.

    Args:
        max_symbol_to_word_ratio: Most symbols a word, of which a text has at least one; the three
            dots of ``. . .`` are one.
        text_field: The text.
    """

    max_symbol_to_word_ratio: float = math.inf
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        words = measured[:, measures.PIECES] - 2 * measured[:, measures.SPACED_DOTS]
        symbols = measured[:, measures.SYMBOLS]
        keep = at_most(symbols, self.max_symbol_to_word_ratio, np.maximum(words, 1))
        return Outcome(documents, keep)


@dataclass(frozen=True)
class BulletFilter:
    """Keep texts of which few lines start with a bullet (``●``, ``•``, ``*``, ``-``).

    Args:
        max_bullet_ratio: Highest share of the lines, the blank ones among them. Before the bullet
            there is nothing, not even white space.
        text_field: The text.
    """

    max_bullet_ratio: float = 1.0
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("bullet_filter", "max_bullet_ratio", self.max_bullet_ratio)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        bullets, lines = measured[:, measures.BULLET_LINES], measured[:, measures.NEWLINES] + 1
        return Outcome(documents, at_most(bullets, self.max_bullet_ratio, lines))


@dataclass(frozen=True)
class EllipsisLineRatioFilter:
    """Keep texts of which few lines end in an ellipsis (``...``, ``. . .``, ``…``).

    Args:
        max_ratio: Highest share of the lines that are not empty. Behind the ellipsis there is
            nothing, not even white space.
        text_field: The text.
    """

    max_ratio: float = 1.0
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("ellipsis_line_ratio_filter", "max_ratio", self.max_ratio)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        lines = np.maximum(measured[:, measures.FILLED_LINES], 1)
        return Outcome(
            documents, at_most(measured[:, measures.ELLIPSIS_LINES], self.max_ratio, lines)
        )


@dataclass(frozen=True)
class AlphabeticWordRatioFilter:
    """Keep texts of which few words have no letter.

    Args:
        max_ratio: Highest share of words without a letter. A text of one word or none goes.
        text_field: The text.
    """

    max_ratio: float = 1.0
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("alphabetic_word_ratio_filter", "max_ratio", self.max_ratio)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        words = measured[:, measures.PIECES]
        others = words - measured[:, measures.ALPHABETIC_PIECES]
        return Outcome(documents, at_most(others, self.max_ratio, words) & (words > 1))


@dataclass(frozen=True)
class StopWordFilter:
    """Keep texts with enough of Gopher's stop words: the be to of and that have with.

    A word with a punctuation mark at it is another one.

    Args:
        min_stop_word: Fewest of them.
        count_unique: Count each word once, however often it occurs.
        text_field: The text.
    """

    min_stop_word: int = 2
    count_unique: bool = False
    text_field: str = "text"

    def __post_init__(self) -> None:
        if self.count_unique and self.min_stop_word > len(STOP_WORDS):
            expected = f"at most {len(STOP_WORDS)}, there are no more different ones"
            refuse("stop_word_filter", "min_stop_word", self.min_stop_word, expected)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        if self.count_unique:
            counts = np.bitwise_count(measured[:, measures.STOP_KINDS])
        else:
            counts = measured[:, measures.STOPS]
        return Outcome(documents, counts >= self.min_stop_word)
