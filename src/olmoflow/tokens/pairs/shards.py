"""Preferences to token shards: document 2i is the chosen conversation, 2i + 1 the rejected.

Learnt is the assistant's last turn alone, in which the two differ. The bytes written are the same
whatever the number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from olmoflow.documents import Intake
from olmoflow.tokens.chat.conversation import Preference, read_preferences
from olmoflow.tokens.chat.kind import Documents, TooLong, Turns
from olmoflow.tokens.chat.render import Rendered, UnderivableSpans
from olmoflow.tokens.chat.rows import write_row_shards
from olmoflow.tokens.format import Content


class Preferences:
    """Rows of two documents. See `RowKind`."""

    content: Content = "pairs"
    suffixes: tuple[str, ...] = ("#chosen", "#rejected")
    document = "an answer"
    ways: tuple[TooLong, ...] = ("truncate", "drop")  # answers are compared whole
    batch_weight = 64

    def read(self, path: Path, intake: Intake) -> Iterator[Preference]:
        """See `read_preferences`."""
        return read_preferences(path, intake)

    def weight(self, row: Preference) -> int:
        """Pairs."""
        return 1

    def documents(self, row: Preference) -> tuple[Turns, ...]:
        """Each answer with the turns before it."""
        return row.chosen, row.rejected

    def said(self, turns: Turns) -> Turns:
        """The answer counts, the turns before it do not."""
        return turns[-1:]

    def joined(self, found: Sequence[Rendered | UnderivableSpans]) -> Documents | UnderivableSpans:
        """Both answers, which have to differ."""
        chosen, rejected = found
        if isinstance(chosen, UnderivableSpans):
            return UnderivableSpans(f"chosen: {chosen.reason}")
        if isinstance(rejected, UnderivableSpans):
            return UnderivableSpans(f"rejected: {rejected.reason}")
        if np.array_equal(chosen.ids, rejected.ids):
            return UnderivableSpans("the template writes chosen and rejected the same")
        return chosen, rejected

    def cut(self, documents: Sequence[Rendered | None]) -> tuple[Documents | None, str]:
        """Both answers, if both have something to learn and still differ."""
        chosen, rejected = documents
        if chosen is None or rejected is None:
            return None, "dropped, nothing of an answer is left"
        if np.array_equal(chosen.ids, rejected.ids):
            return None, "dropped, the answers differ only behind the cut"
        return (chosen, rejected), "truncated"

    def nothing_left(self, source: Path, name: str | None, reasons: Counter[str]) -> str:
        """Names the source if there was nothing of it."""
        became = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
        return f"{source}: no pair is left; {became or f'source={name}'}"


write_pair_shards = partial(write_row_shards, Preferences(), learn="last")
