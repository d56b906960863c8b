"""Ids that came twice, made unique: the second document called ``a`` becomes ``a#2``.

Two sources may number their documents alike. Held are 8 bytes a document, three times over while
they are sorted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of


def hashes_in(folder: Path) -> NDArray[np.uint64]:
    """The hashes of all ids, from the ``*.ids.npy`` of a pass; sorted."""
    files = sorted(folder.glob("*.ids.npy"))
    return np.sort(np.concatenate([np.empty(0, np.uint64), *map(np.load, files)]))


def repeated(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Those that stand more than once in a sorted array, once each."""
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


class UniqueIds:
    """Sets ``id`` of the second and every further document of the same id.

    Args:
        hashes: Of all ids, sorted.

    Attributes:
        figures: ``renamed``, how many were.
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes, self.repeated = hashes, repeated(hashes)
        self.figures = {"renamed": 0}

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        copies: Counter[str] = Counter()
        for number, shard in enumerate(shards, 1):
            column = parquet.read_table(shard, columns=["id"]).column("id")
            places = np.flatnonzero(np.isin(hashes_of(strings_of(column)), self.repeated))
            ids = column.to_pylist() if len(places) else []
            for place in places.tolist():
                ids[place] = self._name(ids[place], copies)
            unique = pa.array(ids, pa.large_string()) if ids else column.combine_chunks()
            keep = pa.array(np.ones(len(column), np.bool_))
            yield pa.table({"keep": keep, "reason": pa.nulls(len(column)), "id": unique})
            if progress:
                progress(number, len(shards))

    def _name(self, id: str, copies: Counter[str]) -> str:
        copies[id] += 1
        if copies[id] == 1:
            return id
        while self._stands(name := f"{id}#{copies[id]}"):
            copies[id] += 1
        self.figures["renamed"] += 1
        return name

    def _stands(self, name: str) -> bool:
        """Whether a document of the sources has this id, or its hash."""
        found = hashes_of(strings_of(pa.array([name])))[0]
        place = int(np.searchsorted(self.hashes, found))
        return place < len(self.hashes) and bool(self.hashes[place] == found)
