"""Filters by the number of turns, and by how unlike in length chosen and rejected are.

For the length of what turns say there is `on_turns` with any filter of texts.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.conversations.outcome import without_faults
from olmoflow.curate.conversations.turns import (
    check_which,
    chosen_turns,
    sides_of,
    texts_of,
    without_turns,
)
from olmoflow.curate.decontaminate.settings import PUNCTUATION
from olmoflow.curate.decontaminate.words import hash_words
from olmoflow.curate.operations.arguments import refuse, require_order
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.token_ids import encode, require_tokenizer
from olmoflow.curate.schema import TURNS
from olmoflow.curate.strings import strings_of

_STEP, _GAP = "turn_count_filter", "length_gap_filter"
WORDS = "words"


@dataclass(frozen=True)
class TurnCountFilter:
    """Keep conversations by their number of turns.

    Args:
        lower_bound: Fewest of them.
        upper_bound: Most of them.
        turns: Which turns count, by a name of `turns.WHICH`.
    """

    lower_bound: int = 1
    upper_bound: int = sys.maxsize
    turns: str = "assistant"

    def __post_init__(self) -> None:
        check_which(_STEP, self.turns)
        require_order(_STEP, self.lower_bound, self.upper_bound)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        sides = sides_of(documents)
        faults = [self._fault(len(chosen_turns(each, self.turns))) for each in sides]
        return without_faults(documents, faults, without_turns(sides))

    def _fault(self, number: int) -> str | None:
        if number < self.lower_bound:
            return f"fewer than {self.lower_bound} turns"
        return f"more than {self.upper_bound} turns" if number > self.upper_bound else None


@dataclass(frozen=True)
class LengthGapFilter:
    """Keep preferences whose chosen and rejected turns are about as long.

    Olmo 3 allows 100 tokens in chat and several turns, for a model learns to say more where the
    longer answer is the better one.

    Args:
        max_gap: The most tokens by which they may differ.
        tokenizer_name: ``words``, or what `ngram_repetition_filter` takes.
        sources: Only of these sources; empty: of all.
    """

    max_gap: int = 100
    tokenizer_name: str = WORDS
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_gap < 0:
            refuse(_GAP, "max_gap", self.max_gap, "0 or more")
        if self.tokenizer_name != WORDS:
            require_tokenizer(_GAP, "tokenizer_name", self.tokenizer_name)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        gaps = np.abs(self._lengths(documents, "chosen") - self._lengths(documents, "rejected"))
        sources = documents.column("source").to_pylist()
        judged = [not self.sources or source in self.sources for source in sources]
        reason = f"lengths differ by more than {self.max_gap} tokens"
        pairs = zip((gaps > self.max_gap).tolist(), judged, strict=True)
        faults = [reason if far and mine else None for far, mine in pairs]
        return without_faults(documents, faults, self._errors(documents))

    def _lengths(self, documents: pa.Table, turns: str) -> NDArray[np.int64]:
        texts = pa.chunked_array([pa.array(texts_of(documents, turns), pa.large_string())])
        if self.tokenizer_name == WORDS:
            return np.diff(hash_words(strings_of(texts), PUNCTUATION)[1])
        return np.diff(encode(self.tokenizer_name, texts)[1]).astype(np.int64)

    def _errors(self, documents: pa.Table) -> dict[int, str]:
        sides = sides_of(documents)
        missing = "no chosen and rejected: this is no preference"
        return {row: missing for row, each in enumerate(sides) if TURNS[1] not in each}
