"""The order of documents: shuffled over the whole corpus, cut into other shards, repeated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.partition.rearrangement import ShardSeries, counted
from olmoflow.curate.partition.scatter import (
    Scatter,
    common_schema,
    file_number,
    in_pieces,
    text_bytes,
)
from olmoflow.curate.pipeline.account import Account, Measure
from olmoflow.curate.pipeline.shards import SHARD_BYTES, read_batches
from olmoflow.curate.schema import field, with_field
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError


class Shuffle:
    """Puts all documents into a random order that their ids and the seed decide.

    So it is the same whatever the order and the shards in which they come. Each of up to 512 files
    on disk takes a range of the order and is sorted in memory: a 512th of the corpus, or 16 MB.

    Args:
        seed: Another seed gives another order.
        max_bytes: Of text in a shard.
    """

    def __init__(self, seed: int = 0, max_bytes: int = SHARD_BYTES) -> None:
        self.seed, self.max_bytes = seed, max_bytes

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        files = file_number(text_bytes(shards))
        scatter = Scatter(scratch, common_schema(shards))
        for batch in counted(shards, account, progress, 2):
            places = (self._keys(batch) >> np.uint64(32)) * np.uint64(files) >> np.uint64(32)
            scatter.write(batch, places.astype(np.int64))
        scatter.close()
        series = ShardSeries(output, self.max_bytes)
        numbers = scatter.numbers()
        for done, number in enumerate(numbers, 1):
            documents = pa.concat_tables(scatter.batches(number))
            order = np.lexsort([_ids(documents), self._keys(documents)])
            for piece in in_pieces(documents.take(pa.array(order))):
                series.write(piece)
            scatter.remove(number)
            progress(len(shards) + len(shards) * done // len(numbers), 2 * len(shards))
        series.close()

    def _keys(self, documents: pa.Table) -> NDArray[np.uint64]:
        return hashes_of(strings_of(documents.column("id")), self.seed)


class Reshard:
    """Cuts the corpus into shards of another size; the order stays.

    Args:
        max_size: UTF-8 bytes of text in a shard, about.
        max_lines: Documents in a shard; None: any number.
        subsample: Keep about this share of the documents, by the hash of their ids; 0: all.
    """

    def __init__(
        self, max_size: int = SHARD_BYTES, max_lines: int | None = None, subsample: float = 0.0
    ) -> None:
        if max_size <= 0:
            raise UserError(f"reshard.max_size={max_size}: expected above 0")
        if max_lines is not None and max_lines <= 0:
            raise UserError(f"reshard.max_lines={max_lines}: expected above 0")
        if not 0 <= subsample <= 1:
            raise UserError(f"reshard.subsample={subsample:g}: expected between 0 and 1")
        self.max_size, self.max_lines, self.subsample = max_size, max_lines, subsample

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        series = ShardSeries(output, self.max_size, self.max_lines)
        for number, shard in enumerate(shards, 1):
            for batch in read_batches(shard):
                account.before.add(Measure(batch).amount())
                if self.subsample:
                    hashes = hashes_of(strings_of(batch.column("id")))
                    keep = hashes < np.uint64(min(self.subsample * 2**64, 2**64 - 1))
                    account.removed(batch, ~keep, pa.array(["not drawn"] * len(batch)))
                    batch = batch.filter(pa.array(keep))
                account.after.add(Measure(batch).amount())
                series.write(batch)
            progress(number, len(shards))
        series.close()


class Repeat:
    """Writes each document as often as a field says, copies beside each other, ids made unique.

    Args:
        field: A whole number; a document without it stands once, one with 0 not at all.
        max_bytes: Of text in a shard.
    """

    def __init__(self, field: str = "metadata.repetitions", max_bytes: int = SHARD_BYTES) -> None:
        self.field, self.max_bytes = field, max_bytes

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        series = ShardSeries(output, self.max_bytes)
        for number, shard in enumerate(shards, 1):
            for batch in read_batches(shard):
                account.before.add(Measure(batch).amount())
                times = self._times(batch)
                account.removed(batch, times == 0, pa.array(["repeated 0 times"] * len(batch)))
                for piece in in_pieces(batch, 256):
                    made = copies(piece, times[: len(piece)])
                    times = times[len(piece) :]
                    account.after.add(Measure(made).amount())
                    series.write(made)
            progress(number, len(shards))
        series.close()

    def _times(self, batch: pa.Table) -> NDArray[np.int64]:
        values = field(batch, self.field)
        if pa.types.is_null(values.type):
            return np.ones(len(batch), np.int64)
        if not pa.types.is_integer(values.type):
            raise UserError(f"repeat.field={self.field}: holds {values.type}, expected integers")
        return np.maximum(np.asarray(values.fill_null(1).to_numpy(), np.int64), 0)


def copies(documents: pa.Table, times: NDArray[np.int64]) -> pa.Table:
    """Each document so many times, copies beside each other, with ids of their own: ``ID#2`` …"""
    rows = np.repeat(np.arange(len(documents)), times)
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    found = documents.take(pa.array(rows))
    ids = found.column("id").to_pylist()
    named = [i if c == 0 else f"{i}#{c + 1}" for i, c in zip(ids, copy.tolist(), strict=True)]
    return with_field(found, "id", pa.array(named, pa.large_string()))


def _ids(documents: pa.Table) -> NDArray[np.object_]:
    return np.array(documents.column("id").to_pylist(), dtype=object)
