"""The exact comparison of candidates, from disk, in bounded memory.

The clustered documents are read once more. Their n-gram sets go to disk, piece by piece; then the
clusters are worked on in parts whose sets fit the memory. A cluster too large for that is worked on
through a memory map.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.dedup import jaccard
from olmoflow.curate.dedup.arrays import mapped
from olmoflow.curate.dedup.bands import group_starts
from olmoflow.curate.dedup.components import Integers, flatten
from olmoflow.curate.dedup.keep import KeepRule
from olmoflow.curate.dedup.pieces import Piece
from olmoflow.curate.dedup.signatures import Permutations, permutations
from olmoflow.curate.dedup.tasks import spread
from olmoflow.curate.dedup.words import Hashes
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of


@dataclass(frozen=True)
class Verification:
    """Settings of the comparison, see `MinHashDedup`; ``memory`` is that of one task."""

    pieces: tuple[Piece, ...]
    rule: KeepRule
    verify: bool
    threshold: float
    ngram: int
    large: int
    large_bands: int
    large_rows: int
    seed: int
    memory: int
    folder: Path

    def run(
        self,
        members: Integers,
        starts: Integers,
        edges: Integers,
        progress: Progress | None = None,
    ) -> tuple[Integers, NDArray[np.float64]]:
        """Compare.

        Args:
            members: [n], numbers of documents, cluster by cluster, ascending in each.
            starts: [clusters + 1], where each cluster starts.
            edges: [n, 3], in large clusters what is compared in any case: the first document of
                the cluster, and two others; ascending.
            progress: Called with (pieces read, pieces).

        Returns:
            [n], the first document of the cluster that each is in now; [n], its rank under the
            keep rule.
        """
        labels = np.repeat(members[starts[:-1]], np.diff(starts))
        if not len(members) or not (self.verify or self.rule.fields):
            return labels, np.zeros(len(members))
        self.folder.mkdir()
        order = np.argsort(members)
        np.save(self.folder / "members.npy", members[order])
        task = functools.partial(_read, self)
        counts = spread(task, len(self.pieces), progress)
        read = [place for place, count in enumerate(counts) if count]
        ranks = np.empty(len(members))
        ranks[order] = np.concatenate([self.load(place, "ranks") for place in read])
        if self.verify:
            sizes = np.empty(len(members), np.int64)
            offsets, piece = np.empty_like(sizes), np.empty_like(sizes)
            loaded = [self.load(place, "sizes") for place in read]
            sizes[order] = np.concatenate(loaded)
            offsets[order] = np.concatenate([np.cumsum(some) - some for some in loaded])
            piece[order] = np.repeat(read, [len(some) for some in loaded])
            where = np.stack([piece, offsets, sizes])
            np.save(self.folder / "edges.npy", edges)
            labels = self._compare(members, starts, where)
        return labels, ranks

    def _compare(self, members: Integers, starts: Integers, where: Integers) -> Integers:
        ends = np.cumsum(where[2])
        part = (ends[starts[1:] - 1] - 1) * 8 // self.memory
        bounds = group_starts(part)
        np.save(self.folder / "clustered.npy", members)
        np.save(self.folder / "where.npy", where)
        np.save(self.folder / "starts.npy", starts)
        np.save(self.folder / "bounds.npy", bounds)
        spread(functools.partial(_verify, self), len(bounds) - 1)
        roots = [self.load(place, "roots") for place in range(len(bounds) - 1)]
        labels: Integers = members[np.concatenate(roots)]
        return labels

    def load(self, place: int, name: str) -> NDArray[Any]:
        """An array from the folder, mapped."""
        loaded: NDArray[Any] = np.load(self.folder / f"{place}.{name}.npy", mmap_mode="r")
        return loaded


def _read(settings: Verification, place: int) -> int:
    """Write ranks and n-gram sets of the clustered documents of a piece; returns how many."""
    piece = settings.pieces[place]
    all_members = np.load(settings.folder / "members.npy", mmap_mode="r")
    low, high = np.searchsorted(all_members, [piece.first, piece.first + piece.rows])
    if low == high:
        return 0
    members = np.asarray(all_members[low:high])
    sizes, ranks, sets = [], [], []
    fields = [*(["text"] if settings.verify else []), *settings.rule.fields]
    for first, documents in piece.batches(list(dict.fromkeys(fields))):
        start, end = np.searchsorted(members, [first, first + len(documents)])
        if start == end:
            continue
        chosen = documents.take(members[start:end] - first)
        ranks.append(settings.rule.ranks(chosen))
        if settings.verify:
            texts = strings_of(chosen.column("text"))
            found, starts = jaccard.ngram_sets(texts, settings.ngram)
            sets.append(found)
            sizes.append(np.diff(starts))
    np.save(settings.folder / f"{place}.ranks.npy", np.concatenate(ranks))
    if settings.verify:
        np.save(settings.folder / f"{place}.sizes.npy", np.concatenate(sizes))
        np.save(settings.folder / f"{place}.sets.npy", np.concatenate(sets))
    return len(members)


def _verify(settings: Verification, place: int) -> int:
    """Compare the documents of some clusters; writes the place of each one's root among all."""
    low, high = np.load(settings.folder / "bounds.npy")[place : place + 2]
    clusters = np.asarray(np.load(settings.folder / "starts.npy", mmap_mode="r")[low : high + 1])
    first, last = clusters[0], clusters[-1]
    where = np.load(settings.folder / "where.npy", mmap_mode="r")[:, first:last]
    sets, starts = _gather(settings, np.asarray(where), place)
    clusters = clusters - first
    parents = np.arange(last - first)
    spans = np.stack([clusters[:-1], clusters[1:]], axis=1)
    large = np.diff(clusters) >= settings.large
    every = np.arange(len(parents))
    jaccard.join_groups(sets, starts, every, spans[~large], parents, settings.threshold)
    for start, end in spans[large]:
        pairs = start + _edges(settings, first + start, first + end)
        twos = np.arange(0, pairs.size + 1, 2)
        groups = np.column_stack([twos[:-1], twos[1:]])
        jaccard.join_groups(sets, starts, pairs.ravel(), groups, parents, settings.threshold)
        _compare_large(settings, sets, starts, every[start:end], parents)
    flatten(parents)
    np.save(settings.folder / f"{place}.roots.npy", parents + first)
    return len(parents)


def _gather(settings: Verification, where: Integers, place: int) -> tuple[Hashes, Integers]:
    """The sets of these documents, one after the other, and where each starts."""
    piece, offsets, sizes = where
    starts = np.concatenate([[0], np.cumsum(sizes)])
    if 8 * starts[-1] > settings.memory:
        file = settings.folder / f"{place}.gathered"
        sets: Hashes = mapped(file, np.uint64, int(starts[-1]))
    else:
        sets = np.empty(starts[-1], np.uint64)
    for one in np.unique(piece):
        chosen = np.flatnonzero(piece == one)
        source = np.load(settings.folder / f"{one}.sets.npy", mmap_mode="r")
        _copy(source, offsets[chosen], sizes[chosen], starts[chosen], sets)
    return sets, starts


@njit(cache=True, nogil=True)
def _copy(
    source: Hashes, offsets: Integers, sizes: Integers, starts: Integers, target: Hashes
) -> None:
    for k in range(len(offsets)):
        for i in range(sizes[k]):
            target[starts[k] + i] = source[offsets[k] + i]


def _edges(settings: Verification, start: int, end: int) -> Integers:
    """[edges, 2], the edges of the first MinHash in a large cluster, as places in it."""
    numbers = np.load(settings.folder / "clustered.npy", mmap_mode="r")[start:end]
    edges = np.load(settings.folder / "edges.npy", mmap_mode="r")
    low, high = np.searchsorted(edges[:, 0], [numbers[0], numbers[0] + 1])
    places: Integers = np.searchsorted(numbers, edges[low:high, 1:])
    return places


def _compare_large(
    settings: Verification, sets: Hashes, starts: Integers, members: Integers, parents: Integers
) -> None:
    """Join the similar documents of a large cluster: those that share a band and are similar."""
    rows = settings.large_rows
    chosen = permutations(settings.large_bands * rows, settings.seed)
    own = starts[members[0] : members[-1] + 2]
    block = max(1, settings.memory // (8 * len(members)))
    for band in range(0, settings.large_bands, block):
        bands = min(block, settings.large_bands - band)
        some = slice(band * rows, (band + bands) * rows)
        keys = np.empty((bands, len(members)), np.uint64)
        part = Permutations(chosen.multipliers[some], chosen.shifts[some])
        jaccard.keys_of_sets(sets, own, rows, part, keys)
        for row in keys:
            order = np.argsort(row, kind="stable")
            bounds = group_starts(row[order])
            groups = np.stack([bounds[:-1], bounds[1:]], axis=1)
            groups = groups[np.diff(bounds) > 1]
            jaccard.join_groups(sets, starts, members[order], groups, parents, settings.threshold)
