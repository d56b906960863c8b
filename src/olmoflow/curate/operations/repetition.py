"""Filters by repetition within a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.arguments import refuse
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.token_ids import encode, require_tokenizer
from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.repetition import GOPHER_LIMITS, gopher_shares, has_period


@dataclass(frozen=True)
class MassiveWebRepetitionFilter:
    """Keep texts that pass none of Gopher's thirteen limits on repetition.

    They are on lines and paragraphs that stand more than once in the text (share 0.3, of bytes
    0.2), on the most frequent 2-, 3- and 4-gram of words, and on all 5- to 10-grams that recur
    (0.20 down to 0.10 of the words' bytes). What occurs twice counts at all its places, the first
    among them. A text of newlines alone, or of nothing, goes.
    """

    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = strings_of(text_of(documents, self.text_field))
        shares = gopher_shares(texts, GOPHER_LIMITS)
        keep: Mask = np.all(shares <= GOPHER_LIMITS, axis=1)
        return Outcome(documents, keep)


@dataclass(frozen=True)
class NgramRepetitionFilter:
    """Keep texts without a piece of tokens that stands many times in a row.

    What looks like a special token is text, where datamap-rs takes it for one token.

    Args:
        tokenizer_name: ``cl100k`` or ``p50k`` (of the package tiktoken), ``uniseg`` (words and what
            is between them), ``bytes``, or the path of a ``tokenizer.json``.
        period_lb: Fewest tokens of the piece.
        period_ub: Most tokens of the piece.
        rep_count: How often it stands there, one right behind the other.
        skip_offsets: Look only at pieces that start a multiple of their length into the text.
        text_field: The text.
    """

    tokenizer_name: str = "cl100k"
    period_lb: int = 1
    period_ub: int = 13
    rep_count: int = 32
    skip_offsets: bool = False
    text_field: str = "text"

    def __post_init__(self) -> None:
        name = "ngram_repetition_filter"
        require_tokenizer(name, "tokenizer_name", self.tokenizer_name)
        if self.rep_count < 2:
            refuse(name, "rep_count", self.rep_count, "2 or more")
        if not 1 <= self.period_lb <= self.period_ub:
            refuse(name, "period_lb", self.period_lb, f"1 to period_ub={self.period_ub}")

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = text_of(documents, self.text_field)
        tokens, offsets = encode(self.tokenizer_name, texts)
        repeats = has_period(
            tokens, offsets, self.period_lb, self.period_ub, self.rep_count, self.skip_offsets
        )
        return Outcome(documents, ~repeats)
