"""The corpus written: JSON lines by split, each document with its annotations in their places.

Almost all of a corpus is text, which never becomes a Python string here: compiled loops escape it,
and hashing and compression leave Python's lock to other threads as well.
"""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import pyarrow as pa
import zstandard

from olmoflow.curate.pipeline.account import Account, to_plain
from olmoflow.curate.pipeline.counting import SIZE_BINS, size_histogram, sizes_of
from olmoflow.curate.pipeline.decisions import DecisionPass, decided_batches
from olmoflow.curate.pipeline.scores import Scores
from olmoflow.curate.pipeline.shards import read_batches
from olmoflow.curate.schema import DOCUMENTS, TURNS
from olmoflow.curate.split import uniform
from olmoflow.curate.strings import Strings, strings_of
from olmoflow.curate.text.json_strings import escaped

# In an account's file, what was written.
WRITTEN = "written"
_LEVEL = 3
_MANY_SOURCES = 200
# Lines that are compressed at a time.
_WRITE_BYTES = 4 << 20
Line = Sequence[bytes | memoryview]
_json_of = json.JSONEncoder(ensure_ascii=False, default=str).encode


@dataclass(frozen=True)
class OutputPass:
    """The settings of writing the corpus.

    Attributes:
        folder: Where accounts go.
        corpus: Where ``train`` and ``heldout`` go.
        heldout_fraction: Of the documents, by the hash of their text.
        seed: Of the split.
        decided: What the last stage decided of the shards, which is applied on the way.
    """

    folder: Path
    corpus: Path
    heldout_fraction: float
    seed: int
    decided: DecisionPass | None = None

    threads_up_to: ClassVar[int] = 1 << 30


class OutputWorker:
    """Writes shards as JSON lines."""

    def __init__(self, spec: OutputPass) -> None:
        self.spec = spec

    def work(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Write one shard: ``number``, ``shard`` and the folder ``root`` that it lies in."""
        shard, decided = Path(unit["shard"]), self.spec.decided
        name = shard.relative_to(unit["root"]).with_suffix(".jsonl.zst").as_posix()
        account = Account(decided.label) if decided else None
        written = _Written()
        with _Splits(self.spec.corpus, name) as splits:
            batches = read_batches(shard)
            if decided and account:
                batches = decided_batches(decided, unit, account)
            for batch in batches:
                written.count(batch)
                for split, line in self._lines(batch, written):
                    splits.write(split, line)
        return {
            "shards": [], "accounts": [to_plain(account)] if account else [], "errors": 0,
            "first_error": "", WRITTEN: written.plain(),
        }  # fmt: skip

    def _lines(self, batch: pa.Table, written: _Written) -> Iterator[tuple[str, Line]]:
        """The split of each document, and the parts of its line."""
        texts = strings_of(batch.column("text"))
        for document, text, inside in zip(
            _without_text(batch), _each(texts), _each(escaped(texts)), strict=True
        ):
            where = uniform(self.spec.seed, text)
            split = "heldout" if where < self.spec.heldout_fraction else "train"
            written.add(split, document["source"], len(text))
            head = f'{{"id": {_json_of(document.pop("id"))}, "text": "'
            tail = f'", {_json_of(document)[1:]}\n'
            yield split, [head.encode(), inside, tail.encode()]


def _each(texts: Strings) -> Iterator[memoryview]:
    """The bytes of each text, not copied."""
    whole, ends = memoryview(texts.data), texts.offsets.tolist()  # type: ignore[arg-type]
    return (whole[start:end] for start, end in itertools.pairwise(ends))


class _Written:
    """What was written of a shard."""

    def __init__(self) -> None:
        self._documents: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._sources: Counter[str] = Counter()
        self._sizes = np.zeros(SIZE_BINS, np.int64)
        self._scores = Scores()

    def count(self, batch: pa.Table) -> None:
        """Count what is counted of whole batches."""
        self._sizes += size_histogram(sizes_of(strings_of(batch.column("text"))))
        self._scores.count(batch)

    def add(self, split: str, source: str, size: int) -> None:
        """Count a document of so many bytes."""
        self._documents[split] += 1
        self._bytes[split] += size
        self._sources[source] += size

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "documents": dict(self._documents),
            "bytes": dict(self._bytes),
            "sizes": self._sizes.tolist(),
            "sources": dict(self._sources.most_common(_MANY_SOURCES)),
            "scores": self._scores.counts,
        }


def _without_text(batch: pa.Table) -> list[dict[str, Any]]:
    """Documents as they are written: annotations inside ``metadata``, what is empty left out.

    Turns are lists of objects again, as a set of conversations has them.
    """
    own = (*DOCUMENTS.names, *TURNS)
    turns = [name for name in TURNS if name in batch.column_names]
    annotations = [(c, c.split(".")) for c in batch.column_names if c not in own]
    documents = []
    for row in batch.drop_columns("text").to_pylist():
        document = {name: row[name] or "" for name in ("id", "source")}
        for name in ("url", "path", "created", "license"):
            if row[name]:
                document[name] = row[name]
        document |= {name: json.loads(row[name]) for name in turns if row[name]}
        document["metadata"] = json.loads(row["metadata"]) if row["metadata"] else {}
        for name, keys in annotations:
            if row[name] is not None:
                _set(document, keys, row[name])
        documents.append(document)
    return documents


def _set(document: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        inner = document.get(key)
        if not isinstance(inner, dict):
            inner = document[key] = {}
        document = inner
    document[keys[-1]] = value


class _Splits:
    """The files of one shard, one a split; each appears whole or not at all."""

    def __init__(self, corpus: Path, name: str) -> None:
        self.corpus, self.name = corpus, name
        self._open: dict[str, IO[bytes]] = {}
        self._held: dict[str, list[bytes | memoryview]] = {}
        self._bytes = 0

    def write(self, split: str, line: Line) -> None:
        """Append a line, given as its parts."""
        self._held.setdefault(split, []).extend(line)
        self._bytes += sum(map(len, line))
        if self._bytes >= _WRITE_BYTES:
            self._flush()

    def _flush(self) -> None:
        for split, parts in self._held.items():
            if split not in self._open:
                self._partial(split).parent.mkdir(parents=True, exist_ok=True)
                compressor = zstandard.ZstdCompressor(level=_LEVEL)
                self._open[split] = zstandard.open(self._partial(split), "wb", cctx=compressor)
            self._open[split].write(b"".join(parts))
        self._held, self._bytes = {}, 0

    def _partial(self, split: str) -> Path:
        path = self.corpus / split / self.name
        return path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> _Splits:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        for split, file in self._open.items():
            file.close()
            if kind is None:
                self._partial(split).replace(self.corpus / split / self.name)
            else:
                self._partial(split).unlink(missing_ok=True)


def step_figures(account: Account, bytes_per_token: float) -> dict[str, Any]:
    """A step's account as provenance keeps it; tokens are estimated from bytes."""
    before, after = account.before, account.after
    return {
        "documents_in": before.documents,
        "documents_out": after.documents,
        "bytes_in": before.bytes,
        "bytes_out": after.bytes,
        "words_in": before.words,
        "words_out": after.words,
        "tokens_in": round(before.bytes / bytes_per_token),
        "tokens_out": round(after.bytes / bytes_per_token),
        "seconds": round(account.seconds, 3),
        "errors": account.errors,
        "reasons": dict(account.reasons.most_common(_MANY_REASONS)),
    }


_MANY_REASONS = 50
