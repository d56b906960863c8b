"""Random access to token shards: memory-mapped, across chunk borders, checked before first use."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from functools import cached_property
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.format import (
    DIGESTS,
    DOCUMENTS,
    INDEX,
    Chunk,
    read_digests,
    read_index,
)
from olmoflow.tokens.targets import Targets


class Files(Protocol):
    """Where the files of a folder of shards come from: a folder, or a cache of a remote one."""

    name: str

    def open(self, filename: str) -> BufferedIOBase:
        """A complete file, which stays readable while it is open or mapped.

        Raises:
            UserError: It does not exist or cannot be fetched.
        """

    def expect(self, filenames: list[str]) -> None:
        """Say which files will be wanted next, in this order."""

    def discard(self, filename: str) -> None:
        """Throw away a copy that has turned out to be damaged."""


class LocalFiles:
    """Shards in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)

    def open(self, filename: str) -> BufferedIOBase:
        """See `Files`."""
        path = self.folder / filename
        try:
            return path.open("rb")
        except OSError as error:
            raise UserError(
                f"{path}: {error.strerror}; expected a folder of token shards"
            ) from error

    def expect(self, filenames: list[str]) -> None:
        """Nothing needs to be fetched."""

    def discard(self, filename: str) -> None:
        """It is no copy."""


class TokenShards:
    """The tokens of a folder of shards as one long row.

    Args:
        files: Where the files come from.
        verify: Compare each chunk with its digest when it is first opened.

    Attributes:
        ends: int64 [chunks], the number of tokens up to and including each chunk.
        content: Identifies the tokens: a digest of the digests.
        vocab_size: Ids are below this; None for shards that do not say.
        kind: What a document is: a plain one, a conversation, or one of a pair of them.
        remote: Whether files have to be fetched.
    """

    def __init__(self, files: Files, *, verify: bool = True) -> None:
        self.files, self.verify = files, verify
        with files.open(DIGESTS) as file:
            digests = file.read()
        self.digests = read_digests(digests, f"{files.name}/{DIGESTS}")
        self.content = hashlib.sha256(digests).hexdigest()[:16]
        with files.open(INDEX) as file:
            self._check(INDEX, file)
            text = file.read()
        index = read_index(text, f"{files.name}/{INDEX}")
        self.chunks, self.dtype, self.vocab_size, self.kind = index
        self.remote = not isinstance(files, LocalFiles)
        self.ends = np.cumsum([c.tokens for c in self.chunks])
        self._maps: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._headers: dict[int, NDArray[np.int64]] = {}
        self._verified: set[int] = set()

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
            from olmoflow.tokens.cache import CachedFiles

            return cls(CachedFiles(str(path), cache_dir, cache_bytes), verify=verify)
        return cls(LocalFiles(Path(path)), verify=verify)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getstate__(self) -> dict[str, Any]:
        # Maps are made anew in each process.
        return {k: v for k, v in self.__dict__.items() if k != "_maps"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._maps = OrderedDict()

    # --- tokens ----------------------------------------------------------------------------

    def read(self, start: int, length: int) -> NDArray[np.int64]:
        """Tokens [start, start + length).

        Raises:
            IndexError: The range reaches beyond the end.
            UserError: A chunk is damaged.
        """
        out = np.empty(length, dtype=np.int64)
        self.read_into(start, out)
        return out

    def read_into(self, start: int, out: NDArray[np.int64]) -> None:
        """`read` of ``len(out)`` tokens into an array."""
        length = len(out)
        if start < 0 or start + length > len(self):
            raise IndexError(f"tokens {start} to {start + length} of {len(self)}")
        number = int(self.ends.searchsorted(start, side="right"))
        filled = 0
        while filled < length:
            tokens = self._map(number)
            first = start + filled - (int(self.ends[number]) - len(tokens))
            part = tokens[first : first + length - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            number += 1

    def expect(self, starts: NDArray[np.int64], length: int | NDArray[np.int64]) -> None:
        """Say which ranges of tokens will be read next, in this order: remote chunks stream in."""
        first = self.ends.searchsorted(starts, side="right")
        last = self.ends.searchsorted(np.minimum(starts + length, len(self)) - 1, side="right")
        wanted: dict[int, None] = {}
        for low, high in zip(first.tolist(), last.tolist(), strict=True):
            wanted.update(dict.fromkeys(range(low, high + 1)))
        if wanted:
            self.files.expect([self.chunks[number].filename for number in wanted])

    def verify_all(self) -> None:
        """Compare every file with its digest.

        Raises:
            UserError: A file is missing or damaged; the message names it.
        """
        for chunk in self.chunks:
            with self.files.open(chunk.filename) as file:
                self._check_size(chunk, file)
                self._check(chunk.filename, file)
        with self.files.open(DOCUMENTS) as file:
            self._check(DOCUMENTS, file)

    # --- documents -------------------------------------------------------------------------

    @cached_property
    def documents(self) -> pa.Table:
        """The table of documents: id, source, path, license, start, tokens, bytes."""
        return self._read_documents()

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        """The position of each document's first token, int64 [documents], ascending."""
        starts: NDArray[np.int64] = self._read_documents(["start"])["start"].to_numpy()
        return starts

    @cached_property
    def targets(self) -> Targets | None:
        """Which tokens are learnt; None of plain documents, where all are."""
        if self.kind == "documents":
            return None
        return Targets.of(self._read_documents(["start", "targets"]))

    def document_at(self, position: int) -> int:
        """The row of the document that a token belongs to."""
        if not 0 <= position < len(self):
            raise IndexError(f"token {position} of {len(self)}")
        return int(self.document_starts.searchsorted(position, side="right")) - 1

    def document_span(self, row: int) -> tuple[int, int]:
        """Where a document's tokens start and end, its end-of-document token included."""
        starts = self.document_starts
        end = int(starts[row + 1]) if row + 1 < len(starts) else len(self)
        return int(starts[row]), end

    def document_tokens(self, row: int) -> NDArray[np.int64]:
        """The tokens of a document, its end included."""
        start, end = self.document_span(row)
        return self.read(start, end - start)

    def document_ids(self, start: int, length: int) -> NDArray[np.int32]:
        """For each token of a range which document it belongs to, counted from the first there."""
        ids = np.zeros(length, np.int32)
        end = start + length
        number = int(self.ends.searchsorted(start, side="right"))
        while True:
            starts = self._document_starts_of(number)
            inside = starts[starts.searchsorted(start, "right") : starts.searchsorted(end, "left")]
            ids[inside - start] = 1
            if self.ends[number] >= end:
                break
            number += 1
        return ids.cumsum(dtype=np.int32)

    # --- files -----------------------------------------------------------------------------

    def _read_documents(self, columns: list[str] | None = None) -> pa.Table:
        with self.files.open(DOCUMENTS) as file:
            self._check(DOCUMENTS, file)
            return parquet.read_table(file, columns=columns)

    def _document_starts_of(self, number: int) -> NDArray[np.int64]:
        """Positions where the documents of a chunk start: its header, so no table is read."""
        if number not in self._headers:
            chunk = self.chunks[number]
            with self._opened(number) as file:
                header = np.fromfile(file, np.uint32, chunk.documents + 2).astype(np.int64)
            starts = (header[1:-1] - chunk.header_bytes) // self.dtype.itemsize
            self._headers[number] = starts + int(self.ends[number]) - chunk.tokens
            _keep_newest(self._headers)
        return self._headers[number]

    def _map(self, number: int) -> NDArray[Any]:
        tokens = self._maps.get(number)
        if tokens is not None:
            self._maps.move_to_end(number)
            return tokens
        chunk = self.chunks[number]
        with self._opened(number) as file:
            tokens = np.memmap(
                file, dtype=self.dtype, mode="r", offset=chunk.header_bytes, shape=(chunk.tokens,)
            ).view(np.ndarray)
        self._maps[number] = tokens
        _keep_newest(self._maps)
        return tokens

    def _opened(self, number: int) -> BufferedIOBase:
        """The file of a chunk, checked if it has not been."""
        chunk = self.chunks[number]
        file = self.files.open(chunk.filename)
        self._check_size(chunk, file)
        if number not in self._verified:
            self._check(chunk.filename, file)
            self._verified.add(number)
        return file

    def _check_size(self, chunk: Chunk, file: BufferedIOBase) -> None:
        size = os.fstat(file.fileno()).st_size
        if size != chunk.bytes:
            self.files.discard(chunk.filename)
            raise UserError(
                f"{self.files.name}/{chunk.filename}: damaged, {size:,} bytes found, "
                f"{chunk.bytes:,} expected"
            )

    def _check(self, filename: str, file: BufferedIOBase) -> None:
        """Compare a file with its digest; leaves it at its start."""
        if not self.verify:
            return
        found = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        if self.digests.get(filename) != found:
            self.files.discard(filename)
            raise UserError(
                f"{self.files.name}/{filename}: damaged, its sha256 is not the recorded one"
            )


def _keep_newest(cache: dict[int, Any], limit: int = 64) -> None:
    """The newest suffice: the kernel keeps the pages, and files may leave a cache."""
    while len(cache) > limit:
        del cache[next(iter(cache))]
