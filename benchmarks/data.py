"""Tokens a second out of a loader in random order: ours and litdata's ``StreamingDataset``.

    ./just bench data

Both read the same shards (40M random tokens in chunks of 2M, in the page cache), every sample at a
random place. Ours gives int64 inputs and labels, cut into the batch of a step, in an order that
resumes exactly; litdata, behind a map-style wrapper that its random access needs, gives blocks as
they are stored, in batches of a ``DataLoader``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from comparison import compare
from torch.utils.data import DataLoader, Dataset

from olmoflow.documents import Document
from olmoflow.tokens import Source, TokenDataModule
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.shards import ShardWriter

VOCABULARY, TOKENS, CHUNK_TOKENS, DOCUMENT_TOKENS = 8192, 40 << 20, 2 << 20, 700
REPETITIONS, SECONDS = 5, 1.5
# (sequence length, sequences of a batch)
BATCHES = ((512, 8), (2048, 32))
# With two workers both are bound by what a DataLoader needs to pass a batch on: no limit there.
LIMITS = {
    "0 workers, 8 sequences of 512": {"ratio": 3.0},
    "0 workers, 32 sequences of 2048": {"ratio": 3.0},
}


def run() -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        _write(shards)
        TokenShards.open(shards).verify_all()  # and into the page cache
        for length, sequences in BATCHES:
            for workers in (0, 2):
                case = f"{workers} workers, {sequences} sequences of {length}"
                rows.append(_compare(case, shards, length, sequences, workers))
    return rows


def _compare(case: str, shards: Path, length: int, sequences: int, workers: int) -> dict[str, Any]:
    loaders = [make(shards, length, sequences, workers) for make in (_ours, _litdata)]
    speeds: list[list[float]] = [[], []]
    for repetition in range(1 + REPETITIONS):
        for loader, found in zip(loaders, speeds, strict=True):
            speed = _tokens_per_second(loader, length * sequences)
            if repetition:
                found.append(speed)
    return compare(case, *speeds, "litdata", "tokens/s")


def _tokens_per_second(batches: Iterator[Any], tokens: int) -> float:
    for _ in range(32):  # what the workers had ready
        next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        next(batches)
        count += 1
    return count * tokens / (time.perf_counter() - start)


def _ours(shards: Path, length: int, sequences: int, workers: int) -> Iterator[Any]:
    data = TokenDataModule(
        [Source(str(shards), max_repetition=1e9)],
        sequence_length=length,
        global_batch_tokens=length * sequences,
        micro_batch_sequences=sequences,
        seed=0,
        num_workers=workers,
    )
    return iter(data.loader(0, 1, 0))


class _Blocks(Dataset[Any]):
    """litdata's dataset as a map-style one, which a random order needs."""

    def __init__(self, shards: Path, length: int) -> None:
        from litdata import StreamingDataset, TokensLoader

        self.blocks = StreamingDataset(str(shards), item_loader=TokensLoader(length + 1))

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Any:
        return self.blocks[index]


def _litdata(shards: Path, length: int, sequences: int, workers: int) -> Iterator[Any]:
    blocks = _Blocks(shards, length)
    while True:
        yield from DataLoader(
            blocks,
            batch_size=sequences,
            shuffle=True,
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            drop_last=True,
        )


def _write(folder: Path) -> None:
    folder.mkdir()
    writer = ShardWriter(folder, VOCABULARY, CHUNK_TOKENS)
    generator = np.random.default_rng(0)
    count = CHUNK_TOKENS // DOCUMENT_TOKENS
    counts = np.full(count, DOCUMENT_TOKENS, np.int64)
    documents = [Document(str(i), "", "random") for i in range(count)]
    while writer.tokens < TOKENS:
        ids = generator.integers(0, VOCABULARY, count * DOCUMENT_TOKENS, dtype=np.uint16)
        writer.add(documents, (ids, counts), counts)
    writer.finish()
