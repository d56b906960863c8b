"""Conversations to token shards: a document is a conversation, and the table says what is learnt.

The bytes written are the same whatever the number of threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from olmoflow.documents import Intake
from olmoflow.tokens.chat.conversation import Conversation, read_conversations
from olmoflow.tokens.chat.kind import Documents, TooLong, Turns
from olmoflow.tokens.chat.render import Rendered, UnderivableSpans
from olmoflow.tokens.chat.rows import write_row_shards
from olmoflow.tokens.format import Content


class Conversations:
    """Rows of one document. See `RowKind`."""

    content: Content = "conversations"
    suffixes: tuple[str, ...] = ("",)
    document = "a conversation"
    ways: tuple[TooLong, ...] = ("truncate", "drop", "split")
    batch_weight = 1 << 19

    def read(self, path: Path, intake: Intake) -> Iterator[Conversation]:
        """See `read_conversations`."""
        return read_conversations(path, intake)

    def weight(self, row: Conversation) -> int:
        """Characters."""
        return sum(len(message.content) for message in row.messages)

    def documents(self, row: Conversation) -> tuple[Turns, ...]:
        """All turns are one document."""
        return (row.messages,)

    def said(self, turns: Turns) -> Turns:
        """All that is said counts."""
        return turns

    def joined(self, found: Sequence[Rendered | UnderivableSpans]) -> Documents | UnderivableSpans:
        """The document by itself."""
        (document,) = found
        return document if isinstance(document, UnderivableSpans) else (document,)

    def cut(self, documents: Sequence[Rendered | None]) -> tuple[Documents | None, str]:
        """A conversation of which nothing is left to learn is dropped."""
        (document,) = documents
        return (None, "dropped") if document is None else ((document,), "truncated")

    def nothing_left(self, source: Path, name: str | None, reasons: Counter[str]) -> str:
        """Names the source if there was nothing of it."""
        if not reasons:
            return f"source={name}: {source} has no conversation of it"
        became = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common(3))
        return f"{source}: no conversation is left to learn from ({became})"


write_conversation_shards = partial(write_row_shards, Conversations(), learn="all")
