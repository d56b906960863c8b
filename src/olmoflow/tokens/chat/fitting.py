"""Rows that are longer than a sequence: cut, dropped, kept to be split, or a mistake."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Conversation, Preference
from olmoflow.tokens.chat.kind import Documents, RowKind, TooLong
from olmoflow.tokens.chat.render import Rendered

TOO_LONG = "too_long.jsonl"


class Fitting:
    """Makes rows fit into a sequence, and keeps those that did not.

    Args:
        kind: What the rows are.
        eos_id: Ends a document that was cut.
        sequence_length: T.
        too_long: What becomes of a longer one.

    Attributes:
        became: How many were too long, by what became of them.

    Raises:
        UserError: That cannot become of rows of this kind.
    """

    def __init__(
        self, kind: RowKind[Any], eos_id: int, sequence_length: int, too_long: TooLong | None
    ) -> None:
        self._ways = f"{', '.join(kind.ways[:-1])} or {kind.ways[-1]}"
        if too_long not in (None, *kind.ways):
            raise UserError(f"too_long={too_long}: expected {self._ways}")
        self.kind, self.eos_id = kind, eos_id
        self.length, self.too_long = sequence_length, too_long
        self.became: Counter[str] = Counter()
        self._longer: list[dict[str, str | int]] = []

    def fit(self, row: Conversation | Preference, documents: Documents) -> Documents | None:
        """The row as it is to be written; None if it is not.

        Raises:
            UserError: It is too long, and nothing says what to do.
        """
        size = max(len(document.ids) for document in documents)
        if size <= self.length:
            return documents
        if self.too_long is None:
            raise UserError(
                f"{row.place.file}:{row.place.line}: {self.kind.document} of {size:,} tokens, more "
                f"than sequence_length={self.length}; give too_long={self._ways}"
            )
        fitted, became = self._shortened(documents)
        self.became[became] += 1
        self._longer.append({"id": row.id, "tokens": size, "became": became})
        return fitted

    def _shortened(self, documents: Documents) -> tuple[Documents | None, str]:
        if self.too_long == "split":
            return documents, "split"
        if self.too_long == "drop":
            return None, "dropped"
        return self.kind.cut([truncated(each, self.length, self.eos_id) for each in documents])

    def write(self, folder: Path) -> None:
        """Leave a list of those that were too long, if there were any."""
        if self._longer:
            rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self._longer)
            (folder / TOO_LONG).write_text(rows)


def truncated(rendered: Rendered, length: int, eos_id: int) -> Rendered | None:
    """The first ``length`` tokens of a document, its end among them; a shorter one as it is.

    The end stands where nobody has stopped, so it is not learnt. None if nothing is left to learn.
    """
    if len(rendered.ids) <= length:
        return rendered
    cut = length - 1
    spans = tuple((start, min(end, cut)) for start, end in rendered.spans if start < cut)
    if not spans:
        return None
    return Rendered(np.append(rendered.ids[:cut], np.uint32(eos_id)), spans)
