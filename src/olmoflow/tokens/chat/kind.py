"""What differs between kinds of rows that become shards, which `write_row_shards` writes alike.

A conversation is a row of one document (`chat.shards`), a preference one of two (`pairs.shards`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

from olmoflow.documents import Intake
from olmoflow.tokens.chat.conversation import Message, Row
from olmoflow.tokens.chat.render import Rendered, UnderivableSpans
from olmoflow.tokens.format import Content

TooLong = Literal["truncate", "drop", "split"]
Turns = Sequence[Message]
Documents = tuple[Rendered, ...]


class RowKind(Protocol[Row]):
    """A kind of rows.

    Attributes:
        content: What the shards say that they hold.
        suffixes: One for each document of a row; with the row's id it is the document's.
        document: What a document is called.
        ways: What may become of a row that is too long.
        batch_weight: Rows are worked on together up to this weight.
    """

    content: Content
    suffixes: tuple[str, ...]
    document: str
    ways: tuple[TooLong, ...]
    batch_weight: int

    def read(self, path: Path, intake: Intake) -> Iterator[Row]:
        """The rows of a file or folder."""

    def weight(self, row: Row) -> int:
        """What a row adds to its batch."""

    def documents(self, row: Row) -> tuple[Turns, ...]:
        """The turns of each document."""

    def said(self, turns: Turns) -> Turns:
        """Those of a document's turns whose bytes are counted."""

    def joined(self, found: Sequence[Rendered | UnderivableSpans]) -> Documents | UnderivableSpans:
        """A row's documents as they were rendered; or why the row is to be set apart."""

    def cut(self, documents: Sequence[Rendered | None]) -> tuple[Documents | None, str]:
        """A row of which some documents were cut, or are None: how it is written, what became."""

    def nothing_left(self, source: Path, name: str | None, reasons: Counter[str]) -> str:
        """The error when nothing was written: of this source, for these reasons."""
