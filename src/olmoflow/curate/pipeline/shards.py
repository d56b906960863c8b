"""Shards: the Parquet files in which documents lie between two passes.

A row group is a batch: some megabytes of text, read and written whole. So a worker holds one batch
at a time, however large its shard. The annotations may differ from batch to batch; a shard's
columns are all that any of its batches has, null where a document has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.schema import DOCUMENTS
from olmoflow.curate.sources.table import BATCH_BYTES, BATCH_DOCUMENTS

# Text after which a shard of a source ends and the next begins.
SHARD_BYTES = 256 << 20
# Columns in which values recur; a dictionary of texts would be all texts.
_RECURRING = ["source", "license", "path"]


def read_batches(shard: Path) -> Iterator[pa.Table]:
    """The batches of a shard, each with one chunk a column."""
    with parquet.ParquetFile(shard, pre_buffer=False) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, use_threads=False).combine_chunks()


class ShardWriter:
    """Writes one shard, which appears whole or not at all.

    Args:
        path: Of the shard.

    Attributes:
        text_bytes: UTF-8 bytes of text so far.
        rows: Documents so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text_bytes = self.rows = 0
        self._held: list[pa.Table] = []
        self._held_bytes = self._held_rows = 0
        self._schema = DOCUMENTS
        self._file: parquet.ParquetWriter | None = None
        self._parts: list[Path] = []
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, documents: pa.Table) -> None:
        """Append a batch."""
        if not len(documents):
            return
        size = documents.column("text").nbytes
        self._held.append(documents)
        self._held_rows += len(documents)
        self._held_bytes += size
        self.text_bytes += size
        self.rows += len(documents)
        if self._held_bytes >= BATCH_BYTES or self._held_rows >= BATCH_DOCUMENTS:
            self._flush()

    def close(self) -> None:
        """Complete the shard."""
        self._flush()
        if self._file is None:
            self._begin()
        assert self._file is not None
        self._file.close()
        if len(self._parts) > 1:
            self._unite()
        self._parts[-1].replace(self.path)

    def _flush(self) -> None:
        if not self._held:
            return
        batch = self._held[0]
        if len(self._held) > 1:
            batch = pa.concat_tables(self._held, promote_options="permissive")
        self._held, self._held_bytes, self._held_rows = [], 0, 0
        schema = pa.unify_schemas([self._schema, batch.schema], promote_options="permissive")
        schema = schema.remove_metadata()
        if self._file is None or schema != self._schema:
            self._schema = schema
            if self._file is not None:
                self._file.close()
            self._begin()
        assert self._file is not None
        self._file.write_table(_fitted(batch, schema), row_group_size=len(batch))

    def _begin(self) -> None:
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.{len(self._parts)}")
        self._parts.append(part)
        self._file = _writer(part, self._schema)

    def _unite(self) -> None:
        """Write the parts again, all with the columns of the last, which has them all."""
        whole = self.path.with_name(f".{self.path.name}.{os.getpid()}.whole")
        with _writer(whole, self._schema) as file:
            for part in self._parts:
                for batch in read_batches(part):
                    file.write_table(_fitted(batch, self._schema), row_group_size=len(batch))
                part.unlink()
        self._parts.append(whole)


def _writer(path: Path, schema: pa.Schema) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in _RECURRING if name in schema.names],
        write_statistics=False,
    )


def _fitted(batch: pa.Table, schema: pa.Schema) -> pa.Table:
    """The batch with these columns, null where it has none."""
    columns = [
        batch.column(f.name).cast(f.type)
        if f.name in batch.column_names
        else pa.nulls(len(batch), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)
