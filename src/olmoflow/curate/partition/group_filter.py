"""One document of each group stays: the newest copy of a page, say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.curate.partition.keys import group_hashes, strings_of_field
from olmoflow.curate.partition.scatter import Scatter, file_number
from olmoflow.curate.stage import Progress
from olmoflow.errors import UserError

_ROWS = 8192
# What a document takes in the files by group, about.
_ROW_BYTES = 100
_SCHEMA = pa.schema(
    [
        ("group", pa.uint64()),
        ("sort", pa.list_(pa.string())),
        ("shard", pa.int64()),
        ("row", pa.int64()),
    ]
)


class GroupFilter:
    """Keeps one document of each group, by its place once the group is sorted.

    Documents are compared by the texts of ``sort_keys``, one after the other; of equal ones the
    first in the corpus comes first. A document without one of the ``group_keys`` is in no group and
    stays. The keys go to files on disk by group; held in memory are those of one file.

    Args:
        group_keys: Fields in which the documents of a group agree.
        sort_keys: Fields to sort by, each with the fields that stand in where it is missing.
        keep_idx: Which one stays: 0 the first, -1 the last. A group of fewer loses all.
    """

    def __init__(
        self,
        group_keys: list[str],
        sort_keys: list[list[str]] | None = None,
        keep_idx: int = 0,
    ) -> None:
        if not group_keys:
            raise UserError("group_filter.group_keys=[]: expected at least one field")
        self.group_keys, self.keep_idx = group_keys, keep_idx
        self.sort_keys = sort_keys or []

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        sizes = [parquet.read_metadata(shard).num_rows for shard in shards]
        files = file_number(sum(sizes) * _ROW_BYTES)
        scatter = Scatter(scratch, _SCHEMA)
        for number, shard in enumerate(shards):
            for start, batch in self._batches(shard):
                table, grouped = self._keys(batch, number, start)
                places = np.asarray(table.column("group").to_numpy() % np.uint64(files), np.int64)
                scatter.write(table.filter(pa.array(grouped)), places[grouped])
            if progress:
                progress(number + 1, len(shards))
        scatter.close()
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        # On disk, for it has a byte a document.
        dropped = np.lib.format.open_memmap(
            scratch / "dropped.npy", "w+", np.bool_, (int(starts[-1]) + 1,)
        )
        for number in scatter.numbers():
            table = pa.concat_tables(scatter.batches(number))
            dropped[self._dropped(table, starts)] = True
            del table
            scatter.remove(number)
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            gone = np.asarray(dropped[start:end])
            reason = pa.array(np.where(gone, "another of its group stays", ""), mask=~gone)
            yield pa.table({"keep": ~gone, "reason": reason})

    def _batches(self, shard: Path) -> Iterator[tuple[int, pa.Table]]:
        file = parquet.ParquetFile(shard)
        there = set(file.schema_arrow.names)
        wanted = [*self.group_keys, *(k for keys in self.sort_keys for k in keys), "id"]
        columns = {n if n in there else n.partition(".")[0] for n in wanted} & there
        start = 0
        for batch in file.iter_batches(_ROWS, columns=sorted(columns)):
            yield start, pa.table(batch)
            start += len(batch)

    def _keys(self, batch: pa.Table, shard: int, start: int) -> tuple[pa.Table, NDArray[np.bool_]]:
        hashes, grouped = group_hashes(batch, self.group_keys)
        columns = []
        for keys in self.sort_keys:
            choices = [strings_of_field(batch, key) for key in keys]
            rows = zip(*choices, strict=True)
            columns.append([next((v for v in row if v is not None), "") for row in rows])
        sort = [list(row) for row in zip(*columns, strict=True)] or [[]] * len(batch)
        places = np.arange(start, start + len(batch))
        shards = np.full(len(batch), shard)
        return pa.table([hashes, sort, shards, places], schema=_SCHEMA), grouped

    def _dropped(self, table: pa.Table, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places in the whole corpus of documents that go."""
        groups = table.column("group").to_numpy()
        places = starts[table.column("shard").to_numpy()] + table.column("row").to_numpy()
        order = np.argsort(groups, kind="stable")
        edges = np.flatnonzero(np.diff(groups[order], prepend=~groups[order][:1])).tolist()
        sort = table.column("sort").to_pylist()
        gone = []
        for start, end in zip(edges, [*edges[1:], len(order)], strict=True):
            rows = sorted(order[start:end].tolist(), key=lambda r: (sort[r], places[r]))
            inside = -len(rows) <= self.keep_idx < len(rows)
            kept = rows[self.keep_idx] if inside else -1
            gone += [int(places[r]) for r in rows if r != kept]
        return np.array(gone, np.int64)
