"""The corpus written: JSON lines by split, each document with its annotations in their places."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import zstandard

from olmoflow.curate.pipeline.account import Account, Measure
from olmoflow.curate.pipeline.counting import SIZE_BINS, size_histogram
from olmoflow.curate.pipeline.scores import Scores
from olmoflow.curate.pipeline.shards import read_batches
from olmoflow.curate.schema import DOCUMENTS, TURNS
from olmoflow.curate.split import uniform

_LEVEL = 3
_MANY_SOURCES = 200


@dataclass(frozen=True)
class OutputPass:
    """The settings of writing the corpus.

    Attributes:
        folder: Where accounts go.
        corpus: Where ``train`` and ``heldout`` go.
        heldout_fraction: Of the documents, by the hash of their text.
        seed: Of the split.
    """

    folder: Path
    corpus: Path
    heldout_fraction: float
    seed: int


class OutputWorker:
    """Writes shards as JSON lines."""

    def __init__(self, spec: OutputPass) -> None:
        self.spec = spec

    def work(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Write one shard: ``number``, ``shard`` and the folder ``root`` that it lies in."""
        shard = Path(unit["shard"])
        name = shard.relative_to(unit["root"]).with_suffix(".jsonl.zst").as_posix()
        documents: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        sources: Counter[str] = Counter()
        histogram = np.zeros(SIZE_BINS, np.int64)
        scores = Scores()
        with _Splits(self.spec.corpus, name) as splits:
            for batch in read_batches(shard):
                measure = Measure(batch)
                histogram += size_histogram(measure.bytes)
                scores.count(batch)
                for document, size in zip(nested(batch), measure.bytes.tolist(), strict=True):
                    where = uniform(self.spec.seed, document["text"])
                    split = "heldout" if where < self.spec.heldout_fraction else "train"
                    splits.write(split, document)
                    documents[split] += 1
                    sizes[split] += size
                    sources[document["source"]] += size
        return {
            "shards": [], "accounts": [], "errors": 0, "first_error": "",
            "documents": dict(documents), "bytes": dict(sizes), "sizes": histogram.tolist(),
            "sources": dict(sources.most_common(_MANY_SOURCES)), "scores": scores.counts,
        }  # fmt: skip


def nested(batch: pa.Table) -> list[dict[str, Any]]:
    """Documents as they are written: annotations inside ``metadata``, what is empty left out.

    Turns are lists of objects again, as a set of conversations has them.
    """
    own = (*DOCUMENTS.names, *TURNS)
    turns = [name for name in TURNS if name in batch.column_names]
    annotations = [(c, c.split(".")) for c in batch.column_names if c not in own]
    documents = []
    for row in batch.to_pylist():
        document = {name: row[name] or "" for name in ("id", "text", "source")}
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

    def write(self, split: str, document: Mapping[str, Any]) -> None:
        if split not in self._open:
            self._partial(split).parent.mkdir(parents=True, exist_ok=True)
            compressor = zstandard.ZstdCompressor(level=_LEVEL)
            self._open[split] = zstandard.open(self._partial(split), "wb", cctx=compressor)
        line = json.dumps(document, ensure_ascii=False, default=str) + "\n"
        self._open[split].write(line.encode())

    def _partial(self, split: str) -> Path:
        path = self.corpus / split / self.name
        return path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> _Splits:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
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
