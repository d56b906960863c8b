"""Arrow's strings as the two arrays that compiled loops read, without a copy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Strings(NamedTuple):
    """Texts one after the other: text i is ``data[offsets[i] : offsets[i + 1]]``, in UTF-8.

    Attributes:
        data: [bytes] uint8.
        offsets: [texts + 1] int64.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @property
    def number(self) -> int:
        """How many texts."""
        return len(self.offsets) - 1


def strings_of(column: pa.Array | pa.ChunkedArray) -> Strings:
    """The strings of a column; a null is an empty text. One chunk is not copied."""
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if column.type != pa.large_string():
        column = column.cast(pa.large_string())
    if not len(column):
        return Strings(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    if column.null_count:
        column = column.fill_null("")
    _, offsets, data = column.buffers()
    starts = np.frombuffer(offsets, np.int64, len(column) + 1, column.offset * 8)
    return Strings(np.frombuffer(data or b"", np.uint8), starts)


def array_of(strings: Strings) -> pa.LargeStringArray:
    """The texts as an Arrow array, without a copy and without a check of their UTF-8."""
    buffers = [None, pa.py_buffer(strings.offsets), pa.py_buffer(strings.data)]
    return pa.Array.from_buffers(pa.large_string(), len(strings.offsets) - 1, buffers)
