"""MinHash-LSH deduplication with verification: nearly the same text stands in the corpus once.

Four passes, each cut into pieces that run side by side:

1. Signatures: every document's band keys, sorted, to disk.
2. Bands: documents with an equal key are candidates; union-find makes clusters of them.
3. Verification: the n-gram sets of the clustered documents are read again and compared exactly;
   clusters fall apart into those that really are similar.
4. Of each cluster one document stays.

Held in memory: 9 bytes a document, about 100 a clustered one, the pieces that are read, and what
``memory`` says for the parts at hand. On disk: 16 bytes a document and band, 24 a document, 8 an
n-gram of clustered documents.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from olmoflow.curate.dedup import bands as runs
from olmoflow.curate.dedup.clusters import Clusters
from olmoflow.curate.dedup.components import Integers, flatten, join_all, not_alone
from olmoflow.curate.dedup.keep import KeepRule
from olmoflow.curate.dedup.pieces import Piece, pieces_of, shard_rows
from olmoflow.curate.dedup.signatures import band_keys, permutations
from olmoflow.curate.dedup.tasks import shifted, spread
from olmoflow.curate.dedup.verification import Verification
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError

REASON = "near duplicate"


@dataclass
class MinHashDedup:
    """Drops near duplicates, or says of each document in which cluster it is.

    The defaults are Olmo 3's for web text; ``bands=14 rows=8`` are FineWeb's (datatrove's
    default). Documents are compared by their n-grams of words in lower case without punctuation;
    one without a word is never a duplicate. A kept document need not be similar to each that its
    cluster loses, but a chain of similar ones leads from it to them.

    Args:
        bands: Bands of a signature.
        rows: MinHashes in a band. Two documents are compared if all of some band agree:
            1 - (1 - J**rows)**bands of the pairs with similarity J.
        ngram: Words in an n-gram of the signature.
        verify: Whether candidates are compared exactly.
        threshold: Jaccard similarity from which on two candidates are duplicates.
        verify_ngram: Words in an n-gram of the exact comparison.
        large: From this many documents on, not every pair of a cluster is compared exactly, only
            each document with the first that shares a band with it, and pairs of a second MinHash.
        large_bands: Its bands.
        large_rows: Its MinHashes in a band.
        keep: Which document of a cluster stays: ``newest``, ``longest``, ``best``, ``first``.
        score: The field that ``best`` compares.
        annotate: Where ``cc_id``, ``cc_size`` and ``cc_idx`` (0 stays) go; None: nowhere.
        remove: Whether duplicates are dropped.
        seed: Of the permutations.
        memory: Bytes for the parts at hand, all cores together.

    Attributes:
        figures: After a run: numbers of clusters and duplicates, ``cluster_sizes``.
    """

    bands: int = 26
    rows: int = 11
    ngram: int = 5
    verify: bool = True
    threshold: float = 0.8
    verify_ngram: int = 3
    large: int = 500
    large_bands: int = 200
    large_rows: int = 31
    keep: str = "newest"
    score: str | None = None
    annotate: str | None = "metadata.minhash"
    remove: bool = True
    seed: int = 42
    memory: int = 1 << 30
    figures: dict[str, Any] = field(default_factory=dict, init=False)
    _rule: KeepRule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "ngram", "verify_ngram", "large_bands", "large_rows"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: found {getattr(self, name)}, expected at least 1")
        if not 0 < self.threshold <= 1:
            raise UserError(f"threshold: found {self.threshold}, expected above 0, at most 1")
        self._rule = KeepRule(self.keep, self.score)

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `Stage.decide`."""
        pieces = pieces_of(shards)
        first = shard_rows(shards)
        documents = int(first[-1])
        parents = self._candidates(pieces, documents, scratch, progress)
        members, starts = _clustered(parents)
        large = np.diff(starts) >= self.large
        edges = self._large_edges(parents, members[starts[:-1]][large], scratch)
        del parents
        verification = Verification(
            tuple(pieces),
            self._rule,
            self.verify,
            self.threshold,
            self.verify_ngram,
            self.large,
            self.large_bands,
            self.large_rows,
            self.seed + 1,
            self._memory_of_a_task,
            scratch / "verification",
        )
        labels, ranks = verification.run(
            members, starts, edges, shifted(progress, len(pieces), 2 * len(pieces))
        )
        clusters = Clusters(scratch, documents)
        clusters.add(members, labels, ranks)
        self.figures = {"candidates": len(members)} | clusters.figures
        yield from clusters.decisions(first, REASON, self.annotate, self.remove)

    @property
    def _memory_of_a_task(self) -> int:
        return max(1, self.memory // usable_cores())

    def _candidates(
        self, pieces: Sequence[Piece], documents: int, scratch: Path, progress: Progress | None
    ) -> Integers:
        """[documents], the first document of the cluster of each, over all bands."""
        signatures, edges = scratch / "signatures", scratch / "edges"
        signatures.mkdir()
        edges.mkdir()
        shape = (self.ngram, self.bands, self.rows, self.seed)
        task = functools.partial(_sign, tuple(pieces), shape, signatures)
        spread(task, len(pieces), shifted(progress, 0, 2 * len(pieces)))
        parts = runs.parts_for(documents, self._memory_of_a_task)
        task = functools.partial(_group, len(pieces), parts, signatures, edges)
        spread(task, self.bands * parts)
        shutil.rmtree(signatures)  # by far the largest of the intermediate files
        parents = np.arange(documents)
        for place in range(self.bands * parts):
            join_all(parents, np.load(edges / f"{place}.npy"))
        flatten(parents)
        return parents

    def _large_edges(self, parents: Integers, roots: Integers, scratch: Path) -> Integers:
        """[edges, 3], root and ends of the edges in large clusters, in order, each once."""
        found = [np.empty((0, 3), np.int64)]
        for file in (scratch / "edges").iterdir() if self.verify and len(roots) else ():
            edges = np.load(file, mmap_mode="r")
            own = parents[edges[:, 0]]
            chosen = np.isin(own, roots)
            found.append(np.column_stack([own[chosen], edges[chosen]]))
        together = np.concatenate(found)
        together = together[np.lexsort(together.T[::-1])]
        again = np.zeros(len(together), np.bool_)
        again[1:] = (together[1:] == together[:-1]).all(axis=1)
        return together[~again]


def _sign(
    pieces: tuple[Piece, ...], shape: tuple[int, int, int, int], folder: Path, place: int
) -> int:
    """Write the band keys of a piece; returns how many documents have some."""
    ngram, bands, rows, seed = shape
    chosen = permutations(bands * rows, seed)
    keys, numbers = [], []
    for first, documents in pieces[place].batches(["text"]):
        texts = strings_of(documents.column("text"))
        found, worded = band_keys(texts, ngram, bands, rows, chosen)
        keys.append(found[:, worded])
        numbers.append(first + np.flatnonzero(worded))
    together = np.concatenate(numbers)
    runs.write_runs(folder, place, np.concatenate(keys, axis=1), together)
    return len(together)


def _group(pieces: int, parts: int, signatures: Path, edges: Path, place: int) -> int:
    """Write the edges of a part of a band; returns how many."""
    band, part = divmod(place, parts)
    keys, numbers = runs.read_part(signatures, range(pieces), band, part, parts)
    found = runs.edges_of(keys, numbers)
    np.save(edges / f"{place}.npy", found)
    return len(found)


def _clustered(parents: Integers) -> tuple[Integers, Integers]:
    """Documents that are not alone, cluster by cluster, and where each cluster starts."""
    members = np.flatnonzero(not_alone(parents))
    order = np.argsort(parents[members], kind="stable")
    members = members[order]
    return members, runs.group_starts(parents[members])
