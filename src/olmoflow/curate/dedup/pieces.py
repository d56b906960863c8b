"""A corpus cut into pieces that are worked on side by side, and the numbers of its documents.

A document's number is its row in all shards, one after the other. It does not depend on how the
rows are cut into shards, row groups or batches, so no decision does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.errors import UserError

# Bytes of a piece before compression, unless one row group alone is larger.
PIECE_BYTES = 32 << 20
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class Piece:
    """Row groups of a shard that follow each other.

    Attributes:
        shard: The file.
        groups: Numbers of its row groups, first and behind the last.
        first: Number of the first document.
        rows: How many documents.
    """

    shard: Path
    groups: tuple[int, int]
    first: int
    rows: int

    def batches(self, fields: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Documents with the columns that the fields need, and the number of the first of them."""
        with parquet.ParquetFile(self.shard) as file:
            columns = columns_of(file.schema_arrow.names, fields)
            number = self.first
            groups = list(range(*self.groups))
            for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns):
                yield number, pa.Table.from_batches([batch])
                number += len(batch)


def pieces_of(shards: Sequence[Path]) -> list[Piece]:
    """All pieces of the shards, in order; empty ones are left out."""
    pieces: list[Piece] = []
    first = 0
    for shard in shards:
        metadata = parquet.read_metadata(shard)
        start = rows = size = 0
        for group in range(metadata.num_row_groups):
            rows += metadata.row_group(group).num_rows
            size += metadata.row_group(group).total_byte_size
            if size >= PIECE_BYTES or group + 1 == metadata.num_row_groups:
                if rows:
                    pieces.append(Piece(shard, (start, group + 1), first, rows))
                first, start, rows, size = first + rows, group + 1, 0, 0
    return pieces


def shard_rows(shards: Sequence[Path]) -> NDArray[np.int64]:
    """[shards + 1], the number of each shard's first document; the last is that of documents."""
    counts = [parquet.read_metadata(shard).num_rows for shard in shards]
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def columns_of(names: Sequence[str], fields: Sequence[str]) -> list[str]:
    """The columns that `schema.field` reads for these fields.

    Raises:
        UserError: A field is neither a column nor inside of ``metadata``.
    """
    for name in fields:
        if name not in names and not name.startswith("metadata."):
            there = ", ".join(names)
            raise UserError(f"{name}: no such field; expected one of {there}, or metadata.…")
    columns = [name if name in names else "metadata" for name in fields]
    return list(dict.fromkeys(columns))
