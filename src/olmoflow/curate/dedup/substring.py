"""Substring deduplication by fuzzy suffix arrays: a long string stands once in a chunk of a corpus.

As for Dolma 3 (paper, section on deduplication), the corpus falls at random into chunks that are
deduplicated independently. A chunk needs 11 bytes of memory for each byte of its text (19 from 2
GiB on). On disk: the text once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.dedup.clusters import decision
from olmoflow.curate.dedup.components import Integers
from olmoflow.curate.dedup.pieces import Piece, pieces_of
from olmoflow.curate.dedup.spans import cut, removals
from olmoflow.curate.dedup.suffixes import END, repeats
from olmoflow.curate.dedup.tasks import shifted, spread
from olmoflow.curate.dedup.words import Bytes, mix
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import Strings, array_of, strings_of
from olmoflow.errors import UserError

# Memory for each byte of a chunk: its text, two arrays of 4 bytes, a byte of what begins there, and
# what is passing.
_BYTES_OF_A_BYTE = 11
REASON = "nothing left but repeated strings"


@dataclass
class SubstringDedup:
    """Cuts strings out of texts that stand in the corpus before, and drops what becomes empty.

    Args:
        length: Bytes from which on a repeated string counts.
        coverage: Where repeated strings cover this share of the text from the first to the last of
            them, all of it goes.
        chunk_bytes: Bytes of text that are looked through together, about.
        annotate: Where the removed byte ranges go, as ``[[start, end], …]`` of the text that came;
            None: nowhere.
        remove: Whether they are cut out.
        seed: Of the chunks.
        memory: Bytes for the chunks that are worked on at a time, of all machines together; a
            chunk takes eleven times its text. Chunks do not shrink by themselves to fit into it,
            since another number of chunks finds other strings.

    Attributes:
        figures: After a run: documents changed and dropped, bytes removed, chunks.
    """

    length: int = 500
    coverage: float = 0.8
    chunk_bytes: int = 256 << 20
    annotate: str | None = None
    remove: bool = True
    seed: int = 42
    memory: int = 8 << 30
    figures: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for name in ("length", "chunk_bytes"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 1")
        if self.memory < (needed := _BYTES_OF_A_BYTE * self.chunk_bytes):
            raise UserError(
                f"substring_dedup.memory={self.memory:,}: a chunk of chunk_bytes="
                f"{self.chunk_bytes:,} takes {needed:,}; expected more, or smaller chunks"
            )
        if not 0 < self.coverage <= 1:
            raise UserError(f"coverage: found {self.coverage}, expected above 0, at most 1")

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `Stage.decide`."""
        pieces = tuple(pieces_of(shards))
        size = sum(spread(functools.partial(_bytes, pieces), len(pieces)))
        chunks = max(1, -(-size // self.chunk_bytes))
        spread(functools.partial(_scatter, pieces, chunks, self.seed, scratch), len(pieces))
        spans = 0
        together = self.memory // (_BYTES_OF_A_BYTE * self.chunk_bytes)
        for first in range(0, chunks, together):
            own = (len(pieces), self.length, self.coverage, first)
            task = functools.partial(_search, *own, scratch)
            told = shifted(progress, first, chunks)
            spans += sum(spread(task, min(together, chunks - first), told))
        self.figures = {"chunks": chunks, "bytes": size, "spans": spans}
        self.figures |= {"changed": 0, "dropped": 0, "removed_bytes": 0}
        for shard in shards:
            tables = [
                self._judge(piece, chunks, scratch) for piece in pieces if piece.shard == shard
            ]
            yield pa.concat_tables(tables) if tables else self._table(_NO_TEXTS, _NO_SPANS)

    def _judge(self, piece: Piece, chunks: int, folder: Path) -> pa.Table:
        """The decisions about a piece."""
        found = []
        for chunk in range(chunks):
            spans = np.load(folder / f"{chunk}.spans.npy", mmap_mode="r")
            low, high = np.searchsorted(spans[:, 0], [piece.first, piece.first + piece.rows])
            found.append(spans[low:high])
        spans = np.concatenate(found)
        # A document lies in one chunk, so its own spans stay in their order.
        spans = spans[np.argsort(spans[:, 0], kind="stable")]
        tables = []
        for first, documents in piece.batches(["text"]):
            low, high = np.searchsorted(spans[:, 0], [first, first + len(documents)])
            texts = strings_of(documents.column("text"))
            tables.append(self._table(texts, spans[low:high] - [first, 0, 0]))
        return pa.concat_tables(tables)

    def _table(self, texts: Strings, spans: Integers) -> pa.Table:
        """The decisions about these texts, whose spans are numbered from 0 on."""
        changed = np.zeros(texts.number, np.bool_)
        changed[spans[:, 0]] = True
        left = np.empty(texts.offsets[-1] - texts.offsets[0], np.uint8)
        starts = np.empty_like(texts.offsets)
        cut(texts.data, texts.offsets, spans, left, starts)
        text = array_of(Strings(left[: starts[-1]], starts))
        empty = changed & (pc.utf8_length(pc.utf8_trim_whitespace(text)).to_numpy() == 0)
        self.figures["changed"] += int(changed.sum())
        self.figures["dropped"] += int(empty.sum())
        self.figures["removed_bytes"] += int((spans[:, 2] - spans[:, 1]).sum())
        table = decision(empty & self.remove, REASON)
        if self.annotate:
            table = table.append_column(self.annotate, _ranges(spans, texts.number))
        return table.append_column("text", text) if self.remove else table


# Not writable, as Arrow's are, so that nothing is compiled a second time for them.
_NO_TEXTS = Strings(np.frombuffer(b"", np.uint8), np.frombuffer(bytes(8), np.int64))
_NO_SPANS = np.empty((0, 3), np.int64)


def _ranges(spans: Integers, documents: int) -> pa.Array:
    """[documents], a list of [start, end] for each."""
    counts = np.bincount(spans[:, 0], minlength=documents)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(spans[:, 1:].ravel()), 2)
    return pa.LargeListArray.from_arrays(pa.array(offsets), pairs.cast(pa.list_(pa.int64())))


def _bytes(pieces: tuple[Piece, ...], place: int) -> int:
    """Bytes of text in a piece."""
    columns = (documents.column("text") for _, documents in pieces[place].batches(["text"]))
    return sum(pc.sum(pc.binary_length(column)).as_py() or 0 for column in columns)


def _scatter(pieces: tuple[Piece, ...], chunks: int, seed: int, folder: Path, place: int) -> int:
    """Write the texts of a piece, ordered by chunk, and a row for each: chunk, number, bytes."""
    piece = pieces[place]
    numbers = piece.first + np.arange(piece.rows)
    chosen = chunks_of(numbers, chunks, seed)
    order = np.argsort(chosen, kind="stable")
    batches = [documents for _, documents in piece.batches(["text"])]
    column = pa.concat_tables(batches).column("text").combine_chunks().take(pa.array(order))
    texts = strings_of(column)
    text = np.empty(texts.offsets[-1] - texts.offsets[0] + texts.number, np.uint8)
    _terminate(texts.data, texts.offsets, text)
    text.tofile(folder / f"{place}.text")
    rows = np.stack([chosen[order], numbers[order], np.diff(texts.offsets)], axis=1)
    np.save(folder / f"{place}.rows.npy", rows)
    return len(text)


def chunks_of(numbers: Integers, chunks: int, seed: int) -> Integers:
    """[documents], the chunk of each, from nothing but its number and the seed."""
    mixed = _mixed(numbers.astype(np.uint64), np.uint64(seed))
    return (mixed % np.uint64(chunks)).astype(np.int64)


@njit(cache=True, nogil=True)
def _mixed(numbers: NDArray[np.uint64], seed: np.uint64) -> NDArray[np.uint64]:
    mixed = np.empty_like(numbers)
    for place in range(len(numbers)):
        mixed[place] = mix(mix(numbers[place] + np.uint64(1)) ^ mix(seed))
    return mixed


@njit(cache=True, nogil=True)
def _terminate(data: Bytes, offsets: Integers, text: Bytes) -> None:
    """Copy texts, each followed by `END`."""
    total = 0
    for document in range(len(offsets) - 1):
        for i in range(offsets[document], offsets[document + 1]):
            text[total] = data[i]
            total += 1
        text[total] = END
        total += 1


def _search(pieces: int, length: int, coverage: float, first: int, folder: Path, place: int) -> int:
    """Write the spans to remove from the documents of a chunk; returns how many."""
    chunk = first + place
    texts, documents = [], []
    for piece in range(pieces):
        rows = np.load(folder / f"{piece}.rows.npy", mmap_mode="r")
        low, high = np.searchsorted(rows[:, 0], [chunk, chunk + 1])
        if low < high:
            ends = np.cumsum(rows[:high, 2] + 1)
            start = ends[low - 1] if low else 0
            file = folder / f"{piece}.text"
            texts.append(np.fromfile(file, np.uint8, ends[-1] - start, offset=start))
            documents.append(rows[low:high, 1:])
    spans = _NO_SPANS
    if texts:
        text = np.concatenate(texts)
        texts.clear()
        numbers, sizes = np.concatenate(documents).T
        starts = np.cumsum(sizes + 1) - sizes - 1
        ends = starts + sizes
        kinds = repeats(text, ends, length)
        spans = removals(text, starts, ends, kinds, length, coverage)
        spans[:, 0] = numbers[spans[:, 0]]
    np.save(folder / f"{chunk}.spans.npy", spans)
    return len(spans)
