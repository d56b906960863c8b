"""One unit of work through consecutive map operations: read, work on it batch by batch, write.

All operations see a batch before the next is read, so what is held is one batch, whatever the
size of the unit.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.conversations.row import refuse_other_text
from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.operations.operation import Operation
from olmoflow.curate.pipeline.account import Account, Measure, to_plain
from olmoflow.curate.pipeline.counting import SIZE_BINS, size_histogram
from olmoflow.curate.pipeline.errors_file import ErrorsFile
from olmoflow.curate.pipeline.plan import Step
from olmoflow.curate.pipeline.scores import Scores
from olmoflow.curate.pipeline.shards import SHARD_BYTES, ShardWriter, read_batches
from olmoflow.curate.sources.columns import unit_tables
from olmoflow.curate.sources.location import SourceFile
from olmoflow.curate.sources.reading import Reading, SourceUnit
from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.measures import keep_rows

READ = "read"
_MANY_SOURCES = 200


@dataclass(frozen=True)
class MapPass:
    """The settings of a map pass, the same for all its units.

    Attributes:
        steps: The operations; none: the documents go through as they are.
        folder: Where shards and accounts go.
        reading: How source files are read; None: the units are shards.
    """

    steps: tuple[Step, ...]
    folder: Path
    reading: Reading | None = None

    @property
    def threads_up_to(self) -> int:
        """Operations may be Python through and through; reading is half of it."""
        return 0 if self.steps else 128 << 20


class MapWorker:
    """Works on units of a map pass; it builds the operations once."""

    def __init__(self, spec: MapPass) -> None:
        self.spec = spec
        self.operations: list[tuple[str, Operation]] = [(s.label, s.build()) for s in spec.steps]

    def work(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Work on one unit.

        Args:
            unit: ``number``, and either ``shard``, or ``kind`` and ``files`` of a source.

        Returns:
            ``shards``, ``accounts``, and what the sources held.
        """
        number = int(unit["number"])
        errors_path = self.spec.folder / f"{number:05d}.errors.jsonl"
        limit = self.spec.reading.max_document_bytes if self.spec.reading else None
        with ErrorsFile(path=errors_path, max_document_bytes=limit) as errors:
            run = _Run(self, number, errors)
            source = "shard" not in unit
            batches = run.source(unit) if source else read_batches(Path(unit["shard"]))
            name = None if source else Path(unit["shard"]).relative_to(unit["root"]).as_posix()
            run.through(batches, name)
        return run.result()


class _Run:
    """A unit on its way through the operations."""

    def __init__(self, worker: MapWorker, number: int, errors: ErrorsFile) -> None:
        self.worker, self.number, self.errors = worker, number, errors
        self.read = Account(READ)
        self.accounts = [Account(label) for label, _ in worker.operations]
        self.shards: list[Path] = []
        self.sources: Counter[str] = Counter()
        self.sizes: NDArray[np.int64] = np.zeros(SIZE_BINS, np.int64)
        self.scores = Scores()
        self.hashes: list[NDArray[np.uint64]] = []
        self.from_source = False

    def source(self, unit: Mapping[str, Any]) -> Iterator[pa.Table]:
        """The batches of source files, counted as they are read."""
        reading = self.worker.spec.reading
        assert reading is not None
        self.from_source = True
        files = tuple(SourceFile(**f) for f in unit["files"])
        wanted = SourceUnit(unit["kind"], files)
        started = time.perf_counter()
        for batch in unit_tables(wanted, reading, self.errors, self.worker.spec.folder):
            self.read.seconds += time.perf_counter() - started
            yield batch
            started = time.perf_counter()
        self.read.seconds += time.perf_counter() - started
        self.read.errors = self.errors.lines

    def through(self, batches: Iterable[pa.Table], name: str | None) -> None:
        """Take the batches through the operations and write what is left.

        Args:
            batches: Of the unit.
            name: Of the one shard that is written; None: as many as it takes.
        """
        folder = self.worker.spec.folder
        writer: ShardWriter | None = None
        for batch in batches:
            measure = Measure(batch)
            if self.from_source:
                self._count_source(batch, measure)
            left = self._operate(batch, measure)
            if self.from_source and len(left):
                self.hashes.append(hashes_of(strings_of(left.column("id"))))
            if writer is None:
                path = name or f"{self.number:05d}-{len(self.shards):03d}.parquet"
                writer = ShardWriter(folder / path)
            writer.write(left)
            if name is None and writer.text_bytes >= SHARD_BYTES:
                self._close(writer)
                writer = None
        if writer is None and not self.shards:
            writer = ShardWriter(folder / (name or f"{self.number:05d}-000.parquet"))
        if writer is not None:
            self._close(writer)
        if self.from_source:
            ids = np.concatenate([np.empty(0, np.uint64), *self.hashes])
            np.save(folder / f"{self.number:05d}.ids.npy", ids)

    def result(self) -> dict[str, Any]:
        """What the unit's account file says."""
        accounts = [self.read, *self.accounts] if self.from_source else self.accounts
        folder = self.worker.spec.folder
        return {
            "shards": [s.relative_to(folder).as_posix() for s in self.shards],
            "accounts": [to_plain(a) for a in accounts],
            "errors": self.errors.errors,
            "first_error": self.errors.first,
            "file_bytes": self.errors.file_bytes,
            "sources": dict(self.sources.most_common(_MANY_SOURCES)),
            "sizes": self.sizes.tolist(),
            "scores": self.scores.counts,
        }

    def _close(self, writer: ShardWriter) -> None:
        writer.close()
        self.shards.append(writer.path)

    def _count_source(self, batch: pa.Table, measure: Measure) -> None:
        amount = measure.amount()
        self.read.before.add(amount)
        self.read.after.add(amount)
        self.sizes += size_histogram(measure.bytes)
        sources = batch.column("source").combine_chunks().dictionary_encode()
        sums = np.bincount(sources.indices.to_numpy(), measure.bytes, len(sources.dictionary))
        for source, size in zip(sources.dictionary.to_pylist(), sums.tolist(), strict=True):
            self.sources[source or ""] += int(size)

    def _operate(self, batch: pa.Table, measure: Measure) -> pa.Table:
        for (label, operation), account in zip(self.worker.operations, self.accounts, strict=True):
            if not len(batch):
                return batch
            account.before.add(measure.amount())
            started = time.perf_counter()
            outcome = operation(batch)
            account.seconds += time.perf_counter() - started
            refuse_other_text(label, batch, outcome.documents)
            self.scores.count(outcome.documents, set(batch.column_names))
            keep = self._errors(label, account, batch, outcome.errors, outcome.keep)
            measure.follow(outcome.documents, keep)
            if keep is None:
                batch = outcome.documents
            else:
                rows = ~keep
                rows[list(outcome.errors)] = False
                reasons = outcome.reasons
                if reasons is None:
                    reasons = pa.nulls(len(batch), pa.large_string())
                account.removed(batch, rows, reasons)
                batch = keep_rows(outcome.documents, keep)
            measure.moved(batch)
            account.after.add(measure.amount())
        return batch

    def _errors(
        self,
        label: str,
        account: Account,
        batch: pa.Table,
        errors: Mapping[int, str],
        keep: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_] | None:
        """Which documents stay, those with errors not among them; None: all."""
        if not errors:
            return None if keep is None or keep.all() else np.asarray(keep, np.bool_)
        stay = np.ones(len(batch), np.bool_) if keep is None else np.array(keep, np.bool_)
        ids = batch.column("id")
        for row, reason in sorted(errors.items()):
            self.errors.reject_document(label, ids[row].as_py(), reason)
            stay[row] = False
        account.errors += len(errors)
        return stay
