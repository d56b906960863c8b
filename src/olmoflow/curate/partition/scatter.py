"""Documents spread over files on disk by a number that each has, so that each file fits in memory.

The files are Arrow streams, written batch by batch without a buffer, so many can be open at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

# Open at once; below the usual limit of 1,024 files of a process.
MAX_FILES = 512
# Of text in a file, if the corpus is not larger than so many files of that size.
FILE_BYTES = 16 << 20


def common_schema(shards: Sequence[Path]) -> pa.Schema:
    """All columns that any of the shards has."""
    schemas = [parquet.read_schema(shard).remove_metadata() for shard in shards]
    return pa.unify_schemas(schemas, promote_options="permissive")


def text_bytes(shards: Sequence[Path]) -> int:
    """About how many bytes the shards have when they are read."""
    total = 0
    for shard in shards:
        metadata = parquet.read_metadata(shard)
        groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
        total += sum(group.total_byte_size for group in groups)
    return total


def file_number(total_bytes: int) -> int:
    """How many files a corpus is spread over."""
    return int(min(MAX_FILES, max(1, -(-total_bytes // FILE_BYTES))))


class Scatter:
    """Files of documents by number.

    Args:
        folder: Of the files.
        schema: Of the documents; those that lack a column get null.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self.schema = folder, schema
        self._files: dict[int, Any] = {}
        self._stack = ExitStack()

    def write(self, documents: pa.Table, numbers: NDArray[np.int64]) -> None:
        """Append each document to the file of its number, in their order."""
        documents = fitted(documents, self.schema)
        order = np.argsort(numbers, kind="stable")
        found, starts = np.unique(numbers[order], return_index=True)
        ends = [*starts[1:].tolist(), len(numbers)]
        for number, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True):
            if number not in self._files:
                file = self._stack.enter_context(self._path(number).open("wb"))
                options = pa.ipc.IpcWriteOptions(compression="lz4")
                writer = pa.ipc.new_stream(file, self.schema, options=options)
                self._files[number] = self._stack.enter_context(writer)
            self._files[number].write_table(documents.take(pa.array(order[start:end])))

    def numbers(self) -> list[int]:
        """The numbers that documents had, ascending."""
        return sorted(self._files)

    def close(self) -> None:
        """Complete the files."""
        self._stack.close()

    def batches(self, number: int) -> Iterator[pa.Table]:
        """The documents of a number, in the order in which they came."""
        with pa.memory_map(str(self._path(number))) as file:
            for batch in pa.ipc.open_stream(file):
                yield pa.table(batch)

    def remove(self, number: int) -> None:
        """Remove a file that has been read."""
        self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.arrow"


def fitted(documents: pa.Table, schema: pa.Schema) -> pa.Table:
    """The documents with these columns, null where they have none."""
    columns = [
        documents.column(f.name).cast(f.type)
        if f.name in documents.column_names
        else pa.nulls(len(documents), f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def in_pieces(documents: pa.Table, rows: int = 1024) -> Iterable[pa.Table]:
    """A table cut into pieces of at most so many rows."""
    for start in range(0, len(documents), rows):
        yield documents.slice(start, rows)
