"""A corpus to token shards, in parallel; the same bytes whatever the number of threads.

Built in ``OUTPUT.partial`` and renamed when complete, so that a kill leaves nothing that looks
finished. litdata's own ``optimize`` is not used: it keeps neither documents nor digests, and its
output depends on the number of workers unless it gives up order; the format is its own.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.digests import file_digest
from olmoflow.tokens.documents import Document, Intake, document_files, read_documents
from olmoflow.tokens.encoder import BatchEncoder, Encoded
from olmoflow.tokens.format import (
    DIGESTS,
    DOCUMENTS,
    Chunk,
    token_dtype,
    write_chunk,
    write_index,
)
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer

Progress = Callable[[int, int], None]
_BATCH_BYTES = 1 << 20

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
    max_error_rate: float = 0.001,
    progress: Progress | None = None,
) -> ShardStatistics:
    """Tokenize the documents of a file or folder; every document ends with the end-of-text token.

    Args:
        source: Documents, as `read_documents` takes them.
        tokenizer: A Hugging Face tokenizer folder.
        output: The shards' folder; replaced only when the new one is complete.
        num_workers: Threads; None: one per core.
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        max_error_rate: Share of malformed documents above which the work stops.
        progress: Called with (bytes of files read, bytes of files).

    Raises:
        UserError: The corpus is empty or too much of it is malformed.
    """
    partial = output.with_name(f"{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    intake = Intake(max_error_rate)
    builder = _Builder(partial, load_tokenizer(tokenizer), chunk_tokens)
    total = sum(f.stat().st_size for f in document_files(source))
    done = 0
    batches = _batches(read_documents(source, intake))
    workers = num_workers or os.cpu_count() or 1
    for documents, encoded in _encoded(batches, builder.tokenizer, workers):
        builder.add(documents, encoded)
        done += sum(len(d.text) for d in documents)
        if progress:
            progress(done, max(total, done))
    intake.write(partial)
    builder.finish()
    shutil.rmtree(output, ignore_errors=True)
    partial.rename(output)
    return ShardStatistics(intake.documents, builder.start, builder.bytes, len(intake.malformed))


class _Builder:
    """Takes encoded documents in their order; writes chunks, the table and the digests."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, chunk_tokens: int) -> None:
        self.folder, self.chunk_tokens = folder, chunk_tokens
        self.tokenizer = tokenizer
        self.dtype = token_dtype(tokenizer.vocab_size)
        self.chunks: list[Chunk] = []
        self.rows: list[dict[str, Any]] = []
        self.table = parquet.ParquetWriter(folder / DOCUMENTS, _SCHEMA, compression="zstd")
        self.pending: list[NDArray[Any]] = []
        self.room = chunk_tokens
        self.start = self.bytes = 0

    def add(self, documents: list[Document], encoded: Encoded) -> None:
        """Append a batch and the end-of-text token after each of its documents."""
        offset = 0
        rows = zip(documents, encoded.counts.tolist(), encoded.sizes.tolist(), strict=True)
        for document, count, size in rows:
            tokens = np.empty(count + 1, dtype=self.dtype)
            tokens[:-1] = encoded.ids[offset : offset + count]
            tokens[-1] = self.tokenizer.eos_id
            offset += count
            self.rows.append(
                {
                    "id": document.id,
                    "source": document.source,
                    "path": document.path,
                    "license": document.license,
                    "start": self.start,
                    "tokens": len(tokens),
                    "bytes": size,
                }
            )
            self.start += len(tokens)
            self.bytes += size
            self.pending.append(tokens)
            self.room -= len(tokens)
            if self.room <= 0:
                self._write_chunk()

    def finish(self) -> None:
        """Write what is left, the table, the digests, and last the index."""
        if self.pending:
            self._write_chunk()
        self.table.close()
        write_index(self.folder, self.chunks, self.dtype)
        names = sorted(p.name for p in self.folder.iterdir())
        digests = {name: file_digest(self.folder / name) for name in names}
        (self.folder / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n")

    def _write_chunk(self) -> None:
        path = self.folder / f"chunk-0-{len(self.chunks)}.bin"
        self.chunks.append(write_chunk(path, self.pending))
        self.table.write_table(pa.Table.from_pylist(self.rows, _SCHEMA))
        self.pending, self.rows, self.room = [], [], self.chunk_tokens


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


def _encoded(
    batches: Iterator[list[Document]], tokenizer: Tokenizer, workers: int
) -> Iterator[tuple[list[Document], Encoded]]:
    """Encode batches in threads (the encoder releases the GIL), in their order.

    The corpus is read only a few batches ahead, not into memory.
    """
    own = threading.local()

    def encode(batch: list[Document]) -> Encoded:
        if not hasattr(own, "encoder"):
            own.encoder = BatchEncoder(tokenizer.backend)  # keeps a cache: one for each thread
        encoded: Encoded = own.encoder.encode([document.text for document in batch])
        return encoded

    waiting: deque[tuple[list[Document], Future[Encoded]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        for batch in batches:
            waiting.append((batch, pool.submit(encode, batch)))
            if len(waiting) > 2 * workers:
                documents, encoded = waiting.popleft()
                yield documents, encoded.result()
        for documents, encoded in waiting:
            yield documents, encoded.result()
