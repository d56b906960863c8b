"""Numbers that a text alone decides: the draws of curation do not depend on order or workers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings


def hashes_of(strings: Strings, seed: int = 0) -> NDArray[np.uint64]:
    """[texts], 64 bits that a text and the seed decide.

    FNV-1a over the bytes, then the finaliser of splitmix64, without which short texts that differ
    in their last character would get neighbouring numbers.
    """
    return _hashes(strings.data, strings.offsets, np.uint64(seed % (1 << 64)))


def uniforms_of(strings: Strings, seed: int = 0) -> NDArray[np.float64]:
    """[texts], the same as numbers in [0, 1)."""
    return (hashes_of(strings, seed) >> np.uint64(11)).astype(np.float64) / 2.0**53


@njit(cache=True, nogil=True)
def _hashes(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], seed: np.uint64
) -> NDArray[np.uint64]:
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(hashes)):
        hashes[i] = hash_of(data, offsets[i], offsets[i + 1], seed)
    return hashes


@njit(cache=True, nogil=True, inline="always")
def hash_of(data: NDArray[np.uint8], start: int, end: int, seed: np.uint64) -> np.uint64:
    """The hash of ``data[start:end]``, as `hashes_of` has it; for compiled loops."""
    h = np.uint64(0xCBF29CE484222325) ^ (seed * np.uint64(0x9E3779B97F4A7C15))
    for k in range(start, end):
        h = (h ^ np.uint64(data[k])) * np.uint64(0x100000001B3)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))
