"""Clusters of duplicates: who belongs together, in which order, and what is decided of it.

What is known of a document lies on disk, 24 bytes each; memory holds only the clusters that are
added at a time.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.curate.dedup.arrays import mapped
from olmoflow.curate.dedup.components import Integers


class Clusters:
    """The clusters of a corpus.

    Args:
        folder: Where its files go.
        documents: How many there are.

    Attributes:
        sizes: How many clusters there are of each size.
    """

    def __init__(self, folder: Path, documents: int) -> None:
        self.sizes: Counter[int] = Counter()
        self._columns = {
            name: mapped(folder / f"{name}.column", np.int64, documents)
            for name in ("cc_id", "cc_size", "cc_idx")
        }

    def add(self, members: Integers, labels: Integers, ranks: NDArray[np.float64]) -> None:
        """Record whole clusters.

        Args:
            members: [n], numbers of documents.
            labels: [n], equal for those that belong together. One by itself is no cluster.
            ranks: [n], the highest of a cluster stays; among equals the lowest number.
        """
        order = np.lexsort((members, -ranks, labels))
        members, labels = members[order], labels[order]
        _, starts, sizes = np.unique(labels, return_index=True, return_counts=True)
        clustered = np.repeat(sizes, sizes) > 1
        index = np.arange(len(members)) - np.repeat(starts, sizes)
        # A cluster is called by its first document, which no cutting up of the corpus changes.
        names = np.minimum.reduceat(members, starts) if len(members) else members
        values = {
            "cc_id": np.repeat(names, sizes),
            "cc_size": np.repeat(sizes, sizes),
            "cc_idx": index,
        }
        for name, column in self._columns.items():
            column[members[clustered]] = values[name][clustered]
        self.sizes.update(sizes[sizes > 1].tolist())

    @property
    def figures(self) -> dict[str, object]:
        """Clusters, the documents in them and beyond the first of each, and the sizes."""
        clusters = sum(self.sizes.values())
        documents = sum(size * number for size, number in self.sizes.items())
        return {
            "clusters": clusters,
            "clustered_documents": documents,
            "duplicates": documents - clusters,
            "cluster_sizes": dict(sorted(self.sizes.items())),
        }

    def decisions(
        self, shards: Integers, reason: str, annotate: str | None, remove: bool
    ) -> Iterator[pa.Table]:
        """One table for each shard, see `Stage.decide`.

        Args:
            shards: [shards + 1], number of the first document of each.
            reason: Of what is dropped.
            annotate: Where ``cc_id``, ``cc_size`` and ``cc_idx`` go, null for what is in no
                cluster; None: nowhere.
            remove: Whether anything is dropped.
        """
        for low, high in itertools.pairwise(shards):
            rows = {name: column[low:high] for name, column in self._columns.items()}
            drop = (rows["cc_idx"] > 0) & remove
            table = decision(drop, reason)
            if annotate:
                alone = rows["cc_size"] == 0
                for name, values in rows.items():
                    column = pa.array(values, pa.int64(), mask=alone)
                    table = table.append_column(f"{annotate}.{name}", column)
            yield table


def decision(drop: NDArray[np.bool_], reason: str) -> pa.Table:
    """A table of ``keep`` and ``reason``."""
    reasons = pc.if_else(pa.array(drop), reason, pa.scalar(None, pa.string()))
    return pa.table({"keep": ~drop, "reason": reasons})
