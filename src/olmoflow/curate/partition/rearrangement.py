"""What a step is that writes the documents into other shards: in another order, or divided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from olmoflow.curate.pipeline.account import Account, Measure
from olmoflow.curate.pipeline.shards import SHARD_BYTES, ShardWriter, read_batches
from olmoflow.curate.stage import Progress


class Rearrangement(Protocol):
    """A step that writes new shards. Its class's arguments are its settings."""

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """Write every document into ``output``, as Parquet files; folders in it become folders.

        Args:
            shards: The documents.
            output: An empty folder.
            scratch: Another, removed afterwards.
            account: Counts what comes in and goes out.
            progress: Called with (work done, work).
        """
        ...


def counted(
    shards: Sequence[Path], account: Account, progress: Progress, share: int = 1
) -> Iterator[pa.Table]:
    """The batches of the shards, counted as coming in and going out.

    Args:
        shards: In their order.
        account: Counts them.
        progress: Told of each shard.
        share: How many rounds of the same work there are.
    """
    for number, shard in enumerate(shards, 1):
        for batch in read_batches(shard):
            amount = Measure(batch).amount()
            account.before.add(amount)
            account.after.add(amount)
            yield batch
        progress(number, share * len(shards))


class ShardSeries:
    """Writes shards ``00000.parquet``, ``00001.parquet`` … into a folder, in the order they come.

    Args:
        folder: Of the shards.
        max_bytes: UTF-8 bytes of text after which a shard ends, about.
        max_documents: Documents after which it ends; None: any number.
    """

    def __init__(
        self, folder: Path, max_bytes: int = SHARD_BYTES, max_documents: int | None = None
    ) -> None:
        self.folder, self.max_bytes, self.max_documents = folder, max_bytes, max_documents
        self._number = 0
        self._writer: ShardWriter | None = None

    def write(self, documents: pa.Table) -> None:
        """Append documents; a batch is cut where a shard has its number of them."""
        while len(documents):
            if self._writer is None:
                self._writer = ShardWriter(self.folder / f"{self._number:05d}.parquet")
                self._number += 1
            room = len(documents)
            if self.max_documents is not None:
                room = min(room, self.max_documents - self._writer.rows)
            self._writer.write(documents.slice(0, room))
            documents = documents.slice(room)
            full = self.max_documents is not None and self._writer.rows >= self.max_documents
            if full or self._writer.text_bytes >= self.max_bytes:
                self._end()

    def close(self) -> None:
        """Complete the last shard."""
        self._end()

    def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
