"""What a step is that has to see all documents before it can judge one: deduplication, say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

Progress = Callable[[int, int], None]


class Stage(Protocol):
    """A step over the whole corpus. Its class's arguments are its settings."""

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """Judge every document.

        The caller drops what does not stay, counts it, samples it, and writes the rest.

        Args:
            shards: Parquet files with at least the columns of `schema.DOCUMENTS`.
            scratch: An empty folder for intermediate files, removed afterwards.
            progress: Called with (work done, work).

        Yields:
            One table for each shard, in their order, a row for each of its documents: ``keep``
            (bool); ``reason`` (string, null where it stays); any further column is set on the
            documents, ``text`` as well.
        """
        ...
