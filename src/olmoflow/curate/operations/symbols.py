"""Filters by what a text's words and lines consist of: symbols, bullets, letters, stop words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import refuse, require_share
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.text import measures
from olmoflow.curate.text.measures import STOP_WORDS, measures_of


def _at_most(counts: NDArray[np.int64], ratio: float, of: NDArray[np.int64]) -> Mask:
    """Whether counts are at most a share of something. Of nothing, no share is low enough."""
    return (of > 0) & (counts <= ratio * of)


@dataclass(frozen=True)
class SymbolRatioFilter:
    """Keep texts with few symbols (``#``, ``...``, ``. . .``, ``…``) for their words.

    Args:
        max_symbol_to_word_ratio: Most symbols a word. A text without a word goes.
        text_field: The text.
    """

    max_symbol_to_word_ratio: float
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        symbols, words = measured[:, measures.SYMBOLS], measured[:, measures.WORDS]
        return Outcome(documents, _at_most(symbols, self.max_symbol_to_word_ratio, words))


@dataclass(frozen=True)
class BulletFilter:
    """Keep texts of which few lines start with a bullet (``●``, ``•``, ``*``, ``-``).

    Args:
        max_bullet_ratio: Highest share of the lines that are not blank.
        text_field: The text.
    """

    max_bullet_ratio: float
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("bullet_filter", "max_bullet_ratio", self.max_bullet_ratio)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        bullets, lines = measured[:, measures.BULLET_LINES], measured[:, measures.LINES]
        return Outcome(documents, _at_most(bullets, self.max_bullet_ratio, lines))


@dataclass(frozen=True)
class EllipsisLineRatioFilter:
    """Keep texts of which few lines end in an ellipsis (``...``, ``. . .``, ``…``).

    Args:
        max_ratio: Highest share of the lines that are not blank.
        text_field: The text.
    """

    max_ratio: float
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("ellipsis_line_ratio_filter", "max_ratio", self.max_ratio)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        ellipses, lines = measured[:, measures.ELLIPSIS_LINES], measured[:, measures.LINES]
        return Outcome(documents, _at_most(ellipses, self.max_ratio, lines))


@dataclass(frozen=True)
class AlphabeticWordRatioFilter:
    """Keep texts of which few words have no letter.

    Args:
        max_ratio: Highest share of words without a letter. A text without a word goes.
        text_field: The text.
    """

    max_ratio: float
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_share("alphabetic_word_ratio_filter", "max_ratio", self.max_ratio)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        measured = measures_of(text_of(documents, self.text_field))
        words = measured[:, measures.WORDS]
        others = words - measured[:, measures.ALPHABETIC_WORDS]
        return Outcome(documents, _at_most(others, self.max_ratio, words))


@dataclass(frozen=True)
class StopWordFilter:
    """Keep texts with enough of Gopher's stop words: the be to of and that have with.

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
