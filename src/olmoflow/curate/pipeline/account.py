"""What a step counted: documents, bytes and words in and out, why documents went, a few of them.

The sample of what was removed are the documents whose id has the smallest hash, so it is the same
whatever the order in which they came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.pipeline.counting import sizes_of, words_of
from olmoflow.curate.strings import strings_of

# Kept of each step to look at, and how much of each text.
SAMPLES = 20
_SHOWN_CHARACTERS = 2000


@dataclass
class Amount:
    """So much text: documents, UTF-8 bytes, and words (runs without white space)."""

    documents: int = 0
    bytes: int = 0
    words: int = 0

    def add(self, other: Amount) -> None:
        """Count another amount in."""
        self.documents += other.documents
        self.bytes += other.bytes
        self.words += other.words


@dataclass
class Sample:
    """A removed document; its text is cut."""

    order: int
    reason: str
    id: str
    source: str
    text: str


@dataclass
class Account:
    """What one step did.

    Attributes:
        label: The step.
        before: What came in.
        after: What went on.
        seconds: Work on it, summed over workers.
        errors: Documents that it could not work on; they are removed.
        reasons: Removed documents by reason.
        samples: A few of them.
    """

    label: str
    before: Amount = field(default_factory=Amount)
    after: Amount = field(default_factory=Amount)
    seconds: float = 0.0
    errors: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)

    def add(self, other: Account) -> None:
        """Count the same step's work on other documents in."""
        self.before.add(other.before)
        self.after.add(other.after)
        self.seconds += other.seconds
        self.errors += other.errors
        self.reasons.update(other.reasons)
        self.samples = _smallest([*self.samples, *other.samples])

    def removed(self, documents: pa.Table, rows: NDArray[np.bool_], reasons: pa.Array) -> None:
        """Count removed documents by reason, and perhaps keep some.

        Args:
            documents: A table with ``id``, ``source`` and ``text``.
            rows: [rows], which of them go.
            reasons: [rows], why.
        """
        places = np.flatnonzero(rows)
        if not len(places):
            return
        counts = reasons.take(pa.array(places)).value_counts()
        for each in counts.to_pylist():
            self.reasons[str(each["values"] or self.label)] += each["counts"]
        order = hashes_of(strings_of(documents.column("id")))[places]
        limit = self.samples[-1].order if len(self.samples) == SAMPLES else 1 << 64
        smallest = np.argsort(order, kind="stable")[:SAMPLES].tolist()
        chosen = [c for c in smallest if int(order[c]) < limit]
        for c in chosen:
            row = documents.slice(int(places[c]), 1).select(["id", "source", "text"])
            values = row.to_pylist()[0]
            text = (values["text"] or "")[:_SHOWN_CHARACTERS]
            reason = reasons[int(places[c])].as_py() or self.label
            self.samples.append(
                Sample(int(order[c]), reason, values["id"], values["source"] or "", text)
            )
        self.samples = _smallest(self.samples)


class Measure:
    """The size of each document of a batch; texts that stay the same are not counted again.

    Attributes:
        bytes: [rows], UTF-8 bytes.
        words: [rows].
    """

    bytes: NDArray[np.int64]
    words: NDArray[np.int64]

    def __init__(self, documents: pa.Table) -> None:
        self._read(documents)

    def amount(self) -> Amount:
        """Of all documents together."""
        return Amount(len(self.bytes), int(self.bytes.sum()), int(self.words.sum()))

    def follow(self, documents: pa.Table, keep: NDArray[np.bool_] | None) -> None:
        """Go on to the documents that an operation left.

        Args:
            documents: All rows as the operation returned them.
            keep: [rows], which of them stay; None: all.
        """
        text = documents.column("text")
        if text is not self._text and not _same(text, self._text):
            self._read(documents)
        if keep is not None:
            self.bytes, self.words = self.bytes[keep], self.words[keep]

    def moved(self, documents: pa.Table) -> None:
        """Say that these are the documents now, in memory of their own."""
        self._text = documents.column("text")

    def _read(self, documents: pa.Table) -> None:
        self._text = documents.column("text")
        strings = strings_of(self._text)
        self.bytes, self.words = sizes_of(strings), words_of(strings)


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns are the same memory."""
    if one.num_chunks != other.num_chunks or len(one) != len(other):
        return False
    return all(
        a.offset == b.offset
        and [x and x.address for x in a.buffers()] == [y and y.address for y in b.buffers()]
        for a, b in zip(one.chunks, other.chunks, strict=True)
    )


def _smallest(samples: Iterable[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: (s.order, s.id, s.text))[:SAMPLES]


def to_plain(account: Account) -> dict[str, Any]:
    """As JSON has it."""
    # asdict would take a Counter for a dict of pairs.
    return {**asdict(replace(account, reasons={})), "reasons": dict(account.reasons)}  # type: ignore[arg-type]


def from_plain(value: Mapping[str, Any]) -> Account:
    """From `to_plain`."""
    return Account(
        value["label"],
        Amount(**value["before"]),
        Amount(**value["after"]),
        value["seconds"],
        value["errors"],
        Counter(value["reasons"]),
        [Sample(**s) for s in value["samples"]],
    )


def merged(parts: Iterable[list[Account]]) -> list[Account]:
    """The accounts of several units of one pass, added up step by step."""
    total: list[Account] = []
    for accounts in parts:
        if not total:
            total = [Account(a.label) for a in accounts]
        for whole, part in zip(total, accounts, strict=True):
            whole.add(part)
    return total
