"""A corpus to token shards, in parallel; the same bytes whatever the number of threads.

Built in ``OUTPUT.partial`` and renamed when complete, so that a kill leaves nothing that looks
finished. litdata's own ``optimize`` is not used: it keeps neither documents nor digests, and its
output depends on the number of workers unless it gives up order; the format is its own.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.digests import file_digest, flush
from olmoflow.documents import Document, Intake, document_files, read_documents
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.tokens.encoder import BatchEncoder, Encoded
from olmoflow.tokens.format import (
    DIGESTS,
    DOCUMENTS,
    INDEX,
    Chunk,
    Content,
    token_dtype,
    write_chunk,
    write_index,
)
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer

Progress = Callable[[int, int], None]
Batch = TypeVar("Batch")
Worked = TypeVar("Worked")
_BATCH_BYTES = 1 << 20
# Rows of the table that are compressed together. Parquet describes each group of rows anew: a group
# for every batch would take most of the table, and of the time to open it.
_ROW_GROUP = 1 << 16

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("path", pa.string()),
        ("license", pa.string()),
        ("start", pa.int64()),
        ("tokens", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
_TARGETS = pa.field("targets", pa.list_(pa.int32()))


@dataclass(frozen=True)
class ShardStatistics:
    """What was written: counts of documents, tokens (ends of documents included) and text bytes."""

    documents: int
    tokens: int
    bytes: int
    malformed: int


def write_shards(
    source: Path,
    tokenizer: Path,
    output: Path,
    *,
    num_workers: int | None = None,
    chunk_tokens: int = 1 << 24,
    max_document_bytes: int | None = None,
    max_error_rate: float = 0.001,
    source_name: str | None = None,
    progress: Progress | None = None,
) -> ShardStatistics:
    """Tokenize the documents of a file or folder; every document ends with the end-of-text token.

    Args:
        source: Documents, as `read_documents` takes them.
        tokenizer: A Hugging Face tokenizer folder.
        output: The shards' folder; replaced only when the new one is complete.
        num_workers: Threads; None: one per core.
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        max_document_bytes: Longer lines and texts are malformed, and never held whole; None: no
            limit.
        max_error_rate: Share of malformed documents above which the work stops.
        source_name: Only the documents of this source; None: all.
        progress: Called with (bytes of files read, bytes of files).

    Raises:
        UserError: The corpus is empty, has nothing of that source, or too much of it is malformed.
    """
    intake = Intake(max_error_rate, max_document_bytes)
    opened = load_tokenizer(tokenizer)
    total = sum(f.stat().st_size for f in document_files(source))
    seen: set[str | None] = set()
    chosen = _of_source(read_documents(source, intake), source_name, seen)
    with built_folder(output, intake) as partial:
        writer = ShardWriter(partial, opened.vocab_size, chunk_tokens)
        new, workers = _new_encoder(opened), num_workers or usable_cores()
        for documents, encoded in worked_in_order(_batches(chosen), new, workers):
            writer.add(documents, _with_ends(encoded, opened.eos_id), encoded.sizes)
            if progress:
                progress(intake.file_bytes, total)
        if not writer.documents:
            shutil.rmtree(partial)
            there = ", ".join(sorted(filter(None, seen))[:10]) or "none at all"
            raise UserError(
                f"source={source_name}: {source} has no document of it; there are {there}"
            )
        writer.finish()
    return ShardStatistics(writer.documents, writer.tokens, writer.bytes, len(intake.malformed))


@contextmanager
def built_folder(output: Path, intake: Intake) -> Iterator[Path]:
    """A folder to build in, that takes the place of ``output`` when it is complete.

    What the intake has set apart is left in it, also when the work stops because of that; the
    folder is then still called partial.
    """
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        if partial.exists():
            intake.write(partial)
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)


class ShardWriter:
    """Writes chunks, the table of documents, the digests and last the index into a folder.

    Args:
        folder: Exists; is complete only after `finish`.
        vocab_size: Decides the data type.
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        content: What a document is; all but plain ``documents`` come with their targets.
    """

    def __init__(
        self, folder: Path, vocab_size: int, chunk_tokens: int, content: Content = "documents"
    ) -> None:
        self.folder, self.vocab_size, self.chunk_tokens = folder, vocab_size, chunk_tokens
        self.content = content
        self.documents = self.tokens = self.bytes = 0
        self._dtype = token_dtype(vocab_size)
        self._chunks: list[Chunk] = []
        self._schema = _SCHEMA if content == "documents" else _SCHEMA.append(_TARGETS)
        self._table = parquet.ParquetWriter(folder / DOCUMENTS, self._schema, compression="zstd")
        self._rows: list[pa.Table] = []
        self._pending: list[NDArray[Any]] = []
        self._room = chunk_tokens

    def add(
        self,
        documents: Sequence[Document],
        encoded: tuple[NDArray[Any], NDArray[np.int64]],
        sizes: NDArray[np.int64],
        targets: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """Append documents.

        Args:
            documents: Where they come from; their text is not looked at.
            encoded: Their token ids one after the other, each with its end; how many each has.
            sizes: UTF-8 bytes of each.
            targets: Where each one's learnt tokens start and end, in turn; None: all are learnt.
        """
        ids, counts = encoded
        ids = ids.astype(self._dtype, copy=False)
        ends = counts.cumsum()
        rows: dict[str, Any] = {
            "start": self.tokens + ends - counts,
            "tokens": counts,
            "bytes": sizes,
        }
        for name in ("id", "source", "path", "license"):
            rows[name] = [getattr(document, name) for document in documents]
        if targets is not None:
            rows["targets"] = targets
        self._rows.append(pa.table(rows, self._schema))
        if self.documents // _ROW_GROUP < (self.documents + len(documents)) // _ROW_GROUP:
            self._write_rows()
        self.documents += len(documents)
        self.tokens += len(ids)
        self.bytes += int(sizes.sum())
        start = 0
        for document in np.split(ids, ends[:-1]):
            self._pending.append(document)
            start += len(document)
            self._room -= len(document)
            if self._room <= 0:
                self._write_chunk()

    def finish(self) -> None:
        """Write what is left, the table, the digests and the index."""
        if self._pending:
            self._write_chunk()
        self._write_rows()
        self._table.close()
        write_index(self.folder, self._chunks, self._dtype, self.vocab_size, self.content)
        names = sorted(p.name for p in self.folder.iterdir())
        digests = {name: file_digest(self.folder / name) for name in names}
        (self.folder / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n")
        for name in (DOCUMENTS, INDEX, DIGESTS, "."):  # the chunks are on the disk
            flush(self.folder / name)

    def _write_rows(self) -> None:
        if self._rows:
            self._table.write_table(pa.concat_tables(self._rows).combine_chunks())
        self._rows = []

    def _write_chunk(self) -> None:
        path = self.folder / f"chunk-0-{len(self._chunks)}.bin"
        self._chunks.append(write_chunk(path, self._pending))
        self._pending, self._room = [], self.chunk_tokens


def _with_ends(encoded: Encoded, eos_id: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Ids with the end-of-document token after each document, and their counts."""
    return np.insert(encoded.ids, encoded.counts.cumsum(), eos_id), encoded.counts + 1


def _of_source(
    documents: Iterable[Document], name: str | None, seen: set[str | None]
) -> Iterator[Document]:
    """The documents of one source; None: all. Notes which sources there are."""
    for document in documents:
        seen.add(document.source)
        if name in (None, document.source):
            yield document


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def worked_in_order(
    batches: Iterable[Batch], new: Callable[[], Callable[[Batch], Worked]], workers: int
) -> Iterator[tuple[Batch, Worked]]:
    """Work on batches in threads, and give each with its outcome in their order.

    Batches are taken only a few ahead, not into memory.

    Args:
        batches: What is worked on.
        new: Makes what works; called once in each thread.
        workers: Threads.
    """
    own = threading.local()

    def work(batch: Batch) -> Worked:
        if not hasattr(own, "work"):
            own.work = new()
        worked: Worked = own.work(batch)
        return worked

    waiting: deque[tuple[Batch, Future[Worked]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        for batch in batches:
            waiting.append((batch, pool.submit(work, batch)))
            if len(waiting) > 2 * workers:
                first, outcome = waiting.popleft()
                yield first, outcome.result()
        for first, outcome in waiting:
            yield first, outcome.result()


def _new_encoder(tokenizer: Tokenizer) -> Callable[[], Callable[[list[Document]], Encoded]]:
    """Makes encoders, one for each thread: they keep a cache, and release the GIL."""

    def new() -> Callable[[list[Document]], Encoded]:
        encoder = BatchEncoder(tokenizer.backend)
        return lambda batch: encoder.encode([document.text for document in batch])

    return new
