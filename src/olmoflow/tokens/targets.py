"""Which tokens of shards are learnt: spans that the table of documents keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Targets:
    """Spans of tokens that are learnt, ascending and apart from each other.

    Attributes:
        starts: Position of each span's first token, int64 [spans].
        ends: Position behind its last, int64 [spans].
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, documents: pa.Table) -> Targets:
        """The targets of a table's columns ``start`` and ``targets``, which counts from there."""
        column = documents["targets"].combine_chunks()
        counts = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        first = np.repeat(documents["start"].to_numpy(), counts)
        places = column.flatten().to_numpy(zero_copy_only=False) + first
        return cls(places[::2].astype(np.int64), places[1::2].astype(np.int64))

    def __len__(self) -> int:
        """How many tokens are learnt."""
        return int((self.ends - self.starts).sum())

    def mask(self, start: int, out: NDArray[np.bool_]) -> None:
        """Say of the tokens from ``start`` on which are learnt, bool [tokens]."""
        out[:] = False
        low = int(self.ends.searchsorted(start, side="right"))
        high = int(self.starts.searchsorted(start + len(out), side="left"))
        for first, last in zip(
            (self.starts[low:high] - start).tolist(),
            (self.ends[low:high] - start).tolist(),
            strict=True,
        ):
            out[max(0, first) : last] = True
