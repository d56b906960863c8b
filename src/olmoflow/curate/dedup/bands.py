"""Sorted runs on disk, and the groups of equal keys across them, in bounded memory.

Each piece of the corpus leaves a run for each band: its keys in order, with the numbers of their
documents. The range of keys is cut into equal parts; for a part, only the stretch of each run that
falls into it is read, sorted and grouped.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.dedup.components import Integers
from olmoflow.curate.dedup.words import Hashes

# Bytes of a document in a part while it is grouped: key, number, order, sorted copies, edges.
BYTES_OF_A_KEY = 56


def write_runs(folder: Path, piece: int, keys: Hashes, numbers: Integers) -> None:
    """Leave the runs of a piece.

    Args:
        folder: For the runs of all pieces.
        piece: Its number.
        keys: [bands, documents].
        numbers: [documents], ascending.
    """
    order = np.argsort(keys, axis=1, kind="stable")
    np.save(folder / f"{piece}.keys.npy", np.take_along_axis(keys, order, axis=1))
    np.save(folder / f"{piece}.numbers.npy", numbers[order])


def parts_for(documents: int, memory: int) -> int:
    """Into how many parts the keys of a band are cut so that one fits the memory (bytes)."""
    return max(1, min(documents, -(-documents * BYTES_OF_A_KEY // memory)))


def read_part(
    folder: Path, pieces: Iterable[int], band: int, part: int, parts: int
) -> tuple[Hashes, Integers]:
    """A part of a band over all pieces: keys in order, and numbers, ascending for equal keys."""
    low, high = (np.uint64(min((k << 64) // parts, (1 << 64) - 1)) for k in (part, part + 1))
    keys, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for piece in pieces:
        run = np.load(folder / f"{piece}.keys.npy", mmap_mode="r")[band]
        start = np.searchsorted(run, low)
        end = len(run) if part + 1 == parts else np.searchsorted(run, high)
        if start < end:
            keys.append(run[start:end])
            documents = np.load(folder / f"{piece}.numbers.npy", mmap_mode="r")
            numbers.append(documents[band, start:end])
    together = np.concatenate(keys)
    order = np.argsort(together, kind="stable")
    return together[order], np.concatenate(numbers)[order]


def edges_of(keys: Hashes, numbers: Integers) -> Integers:
    """[edges, 2], from the first document of each group of equal keys to each other one."""
    edges = np.empty((_repeats(keys), 2), np.int64)
    _fill_edges(keys, numbers, edges)
    return edges


@njit(cache=True, nogil=True)
def _repeats(keys: Hashes) -> int:
    count = 0
    for place in range(1, len(keys)):
        if keys[place] == keys[place - 1]:
            count += 1
    return count


@njit(cache=True, nogil=True)
def _fill_edges(keys: Hashes, numbers: Integers, edges: Integers) -> None:
    count = first = 0
    for place in range(1, len(keys)):
        if keys[place] != keys[place - 1]:
            first = place
            continue
        edges[count, 0] = numbers[first]
        edges[count, 1] = numbers[place]
        count += 1


def group_starts(keys: NDArray[Any]) -> Integers:
    """Where each group of equal keys starts, and the end of the last."""
    if not len(keys):
        return np.zeros(1, np.int64)
    changes = np.flatnonzero(keys[1:] != keys[:-1]) + 1
    return np.concatenate([[0], changes, [len(keys)]]).astype(np.int64)
