"""Random access to token shards: memory-mapped, across chunk borders, checked before first use."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.digests import file_digest
from olmoflow.errors import UserError
from olmoflow.tokens.format import DIGESTS, DOCUMENTS, INDEX, Chunk, read_index


class Files(Protocol):
    """Where the files of a folder of shards come from: a folder, or a cache of a remote one."""

    name: str

    def path(self, filename: str) -> Path:
        """A local, complete file.

        Raises:
            UserError: It does not exist or cannot be fetched.
        """

    def expect(self, filenames: list[str]) -> None:
        """Say which files will be wanted next, in this order."""


class LocalFiles:
    """Shards in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)

    def path(self, filename: str) -> Path:
        """See `Files`."""
        path = self.folder / filename
        if not path.is_file():
            raise UserError(f"{path}: missing; expected a folder of token shards")
        return path

    def expect(self, filenames: list[str]) -> None:
        """Nothing needs to be fetched."""


class TokenShards:
    """The tokens of a folder of shards as one long row.

    Args:
        files: Where the files come from.
        verify: Compare each chunk with its digest when it is first opened.
    """

    def __init__(self, files: Files, *, verify: bool = True) -> None:
        self.files, self.verify = files, verify
        index = files.path(INDEX)
        self.chunks, self.dtype = read_index(index.read_text(), f"{files.name}/{INDEX}")
        digests = json.loads(files.path(DIGESTS).read_text()) if verify else {}
        self.digests: dict[str, str] = digests.get("files", digests)
        # ends[i] is the number of tokens up to and including chunk i
        self.ends = np.cumsum([c.tokens for c in self.chunks])
        self._maps: dict[int, NDArray[Any]] = {}

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        cache_dir: Path | None = None,
        cache_bytes: int | None = None,
        verify: bool = True,
    ) -> TokenShards:
        """Open a folder or, through a bounded cache, a URL (s3, gs, http, https).

        Raises:
            UserError: There are no shards at the path.
        """
        if "://" in str(path):
            from olmoflow.tokens.remote import CachedFiles

            return cls(CachedFiles(str(path), cache_dir, cache_bytes), verify=verify)
        return cls(LocalFiles(Path(path)), verify=verify)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        # Maps are made anew in each process.
        return {**self.__dict__, "_maps": {}}

    def read(self, start: int, length: int) -> NDArray[np.int64]:
        """Tokens [start, start + length).

        Raises:
            IndexError: The range reaches beyond the end.
            UserError: A chunk is damaged.
        """
        if start < 0 or start + length > len(self):
            raise IndexError(f"tokens {start} to {start + length} of {len(self)}")
        out = np.empty(length, dtype=np.int64)
        number = int(np.searchsorted(self.ends, start, side="right"))
        filled = 0
        while filled < length:
            tokens = self._map(number)
            first = start + filled - (int(self.ends[number]) - len(tokens))
            part = tokens[first : first + length - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            number += 1
        return out

    def chunks_of(self, start: int, length: int) -> list[str]:
        """The files that a range of tokens lies in."""
        first, last = np.searchsorted(self.ends, [start, start + length - 1], side="right")
        return [c.filename for c in self.chunks[int(first) : int(last) + 1]]

    @cached_property
    def documents(self) -> pa.Table:
        """The table of documents: id, source, path, license, start, tokens, bytes."""
        path = self.files.path(DOCUMENTS)
        self._check(DOCUMENTS, path)
        return parquet.read_table(path)

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        """The position of each document's first token, ascending."""
        starts: NDArray[np.int64] = self.documents["start"].to_numpy()
        return starts

    def document_at(self, position: int) -> int:
        """The row of the document that a token belongs to."""
        if not 0 <= position < len(self):
            raise IndexError(f"token {position} of {len(self)}")
        return int(np.searchsorted(self.document_starts, position, side="right")) - 1

    def document_tokens(self, row: int) -> NDArray[np.int64]:
        """The tokens of a document, its end included."""
        start, length = (self.documents[name][row].as_py() for name in ("start", "tokens"))
        return self.read(start, length)

    def document_ids(self, start: int, length: int) -> NDArray[np.int32]:
        """For each token of a range which document it belongs to, counted from the first there."""
        rows = np.searchsorted(self.document_starts, np.arange(start, start + length), "right")
        ids: NDArray[np.int32] = (rows - rows[0]).astype(np.int32)
        return ids

    def _map(self, number: int) -> NDArray[Any]:
        if number not in self._maps:
            chunk = self.chunks[number]
            path = self.files.path(chunk.filename)
            self._check_size(chunk, path)
            self._check(chunk.filename, path)
            self._maps[number] = np.memmap(
                path, dtype=self.dtype, mode="r", offset=chunk.header_bytes, shape=(chunk.tokens,)
            )
            # The newest maps suffice: the kernel keeps the pages, and files may leave a cache.
            for old in list(self._maps)[:-64]:
                del self._maps[old]
        return self._maps[number]

    def _check_size(self, chunk: Chunk, path: Path) -> None:
        size = path.stat().st_size
        if size != chunk.bytes:
            raise UserError(
                f"{self.files.name}/{chunk.filename}: damaged, {size:,} bytes found, "
                f"{chunk.bytes:,} expected"
            )

    def _check(self, filename: str, path: Path) -> None:
        expected = self.digests.get(filename)
        if self.verify and expected != file_digest(path):
            raise UserError(
                f"{self.files.name}/{filename}: damaged, its sha256 is not the recorded one"
            )
