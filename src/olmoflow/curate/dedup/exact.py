"""Exact deduplication: the same text, or the same value of a field, stands in the corpus once.

Every document's 128-bit hash goes to disk, sorted within its piece. The range of hashes is cut into
parts that fit the memory; documents with one hash are a cluster. On disk: 56 bytes a document.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from olmoflow.curate import schema
from olmoflow.curate.dedup.clusters import Clusters
from olmoflow.curate.dedup.keep import KeepRule
from olmoflow.curate.dedup.pieces import Piece, pieces_of, shard_rows
from olmoflow.curate.dedup.tasks import spread
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError

REASON = "exact duplicate"
# A document in a part: high and low half of the hash, number, rank, and the order of sorting.
_RECORD = np.dtype([("high", "u8"), ("low", "u8"), ("number", "i8"), ("rank", "f8")])
_BYTES_OF_A_RECORD = 3 * _RECORD.itemsize


@dataclass
class ExactDedup:
    """Drops exact duplicates, or says of each document in which cluster it is.

    Args:
        field: What is compared, by its dotted name. A document without it is never a duplicate.
        within: A field whose values are deduplicated apart (``source``, ``metadata.dump``);
            None: the whole corpus. Two stages do first the one and then the other.
        keep: Which document of a cluster stays: ``first``, ``newest``, ``longest``, ``best``.
        score: The field that ``best`` compares.
        annotate: Where ``cc_id``, ``cc_size`` and ``cc_idx`` (0 stays) go; None: nowhere.
        remove: Whether duplicates are dropped.
        memory: Bytes for the parts at hand.

    Attributes:
        figures: After a run: numbers of clusters and duplicates, ``cluster_sizes``.
    """

    field: str = "text"
    within: str | None = None
    keep: str = "first"
    score: str | None = None
    annotate: str | None = None
    remove: bool = True
    memory: int = 1 << 30
    figures: dict[str, Any] = dataclasses.field(default_factory=dict, init=False)
    _rule: KeepRule = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise UserError(f"memory: found {self.memory}, expected at least 1")
        self._rule = KeepRule(self.keep, self.score)

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `Stage.decide`."""
        pieces = tuple(pieces_of(shards))
        first = shard_rows(shards)
        task = functools.partial(_hash, pieces, self.field, self.within, self._rule, scratch)
        hashed = sum(spread(task, len(pieces), progress))
        clusters = Clusters(scratch, int(first[-1]))
        parts = max(1, min(hashed, -(-hashed * _BYTES_OF_A_RECORD // self.memory)))
        for part in range(parts):
            records = _read_part(scratch, len(pieces), part, parts)
            same = (records["high"][1:] == records["high"][:-1]) & (
                records["low"][1:] == records["low"][:-1]
            )
            labels = np.concatenate([[0], np.cumsum(~same)])[: len(records)]
            many = np.zeros(len(records), np.bool_)
            many[1:] |= same
            many[:-1] |= same
            clusters.add(records["number"][many], labels[many], records["rank"][many])
        self.figures = clusters.figures
        yield from clusters.decisions(first, REASON, self.annotate, self.remove)


def _hash(
    pieces: tuple[Piece, ...],
    field: str,
    within: str | None,
    rule: KeepRule,
    folder: Path,
    place: int,
) -> int:
    """Write the records of a piece, sorted by their hash; returns how many."""
    found = []
    fields = [field, *filter(None, [within]), *rule.fields]
    for first, documents in pieces[place].batches(fields):
        values = schema.field(documents, field)
        there = values.is_valid().to_numpy()
        groups = schema.field(documents, within) if within else None
        records = np.empty(len(documents), _RECORD)
        halves = _digests(values, groups)
        records["high"], records["low"] = halves[:, 0], halves[:, 1]
        records["number"] = first + np.arange(len(documents))
        records["rank"] = rule.ranks(documents)
        found.append(records[there])
    together = np.concatenate(found)
    order = np.argsort(together["high"], kind="stable")
    np.save(folder / f"{place}.npy", together[order])
    return len(together)


def _digests(values: pa.ChunkedArray, groups: pa.ChunkedArray | None) -> NDArray[np.uint64]:
    """[documents, 2], the hash of each value; the seed makes it another one in each group."""
    texts = strings_of(values)
    data = memoryview(texts.data)  # type: ignore[arg-type]
    bounds = texts.offsets.tolist()
    seeds = [0] * texts.number
    if groups is not None:
        seeds = [xxhash.xxh3_64_intdigest(str(group).encode()) for group in groups.to_pylist()]
    digests = b"".join(
        xxhash.xxh3_128_digest(data[start:end], seed)
        for start, end, seed in zip(bounds[:-1], bounds[1:], seeds, strict=True)
    )
    return np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)


def _read_part(folder: Path, pieces: int, part: int, parts: int) -> NDArray[np.void]:
    """The records of a part over all pieces, equal hashes together, ascending numbers in them."""
    low, high = (min((k << 64) // parts, (1 << 64) - 1) for k in (part, part + 1))
    found = [np.empty(0, _RECORD)]
    for piece in range(pieces):
        records = np.load(folder / f"{piece}.npy", mmap_mode="r")
        start = np.searchsorted(records["high"], np.uint64(low))
        last = np.searchsorted(records["high"], np.uint64(high))
        found.append(records[start : last if part + 1 < parts else len(records)])
    together = np.concatenate(found)
    return together[np.lexsort((together["number"], together["low"], together["high"]))]
