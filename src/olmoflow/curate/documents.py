"""Writing a corpus: documents as JSON lines compressed with zstd, one folder a split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import zstandard

_SHARD_BYTES = 256 << 20


class CorpusWriter:
    """Writes documents into ``OUTPUT/SPLIT/00000.jsonl.zst`` …, in the order they come.

    Args:
        output: The corpus folder; each split gets a folder in it.
        shard_bytes: UTF-8 bytes of text after which a new file begins.
    """

    def __init__(self, output: Path, shard_bytes: int = _SHARD_BYTES) -> None:
        self.output, self.shard_bytes = output, shard_bytes
        self.documents: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self._open: dict[str, IO[bytes]] = {}
        self._room: dict[str, int] = {}
        self._files: dict[str, int] = {}

    @property
    def total_bytes(self) -> int:
        """UTF-8 bytes of text written so far."""
        return sum(self.bytes.values())

    def write(self, split: str, document: Mapping[str, Any]) -> int:
        """Append a document to a split; returns its size in UTF-8 bytes."""
        size = len(document["text"].encode())
        if self._room.get(split, 0) <= 0:
            self._next_file(split)
        line = json.dumps(document, ensure_ascii=False) + "\n"
        self._open[split].write(line.encode())
        self._room[split] -= size
        self.documents[split] = self.documents.get(split, 0) + 1
        self.bytes[split] = self.bytes.get(split, 0) + size
        return size

    def close(self) -> None:
        """Complete the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def __enter__(self) -> CorpusWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_file(self, split: str) -> None:
        if split in self._open:
            self._open[split].close()
        number = self._files.get(split, 0)
        folder = self.output / split
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:05d}.jsonl.zst"
        self._open[split] = zstandard.open(path, "wb", cctx=zstandard.ZstdCompressor(level=6))
        self._files[split] = number + 1
        self._room[split] = self.shard_bytes


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write plain JSON lines."""
    with path.open("w") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
