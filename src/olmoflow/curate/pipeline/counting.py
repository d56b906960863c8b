"""Counting over a batch of texts, compiled: words, sizes by powers of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings

Integers = NDArray[np.int64]
# Bin i of a histogram of sizes has what is at least 2**i bytes and less than 2**(i + 1).
SIZE_BINS = 40
SIZE_EDGES = [0, *(1 << i for i in range(1, SIZE_BINS + 1))]


def sizes_of(strings: Strings) -> Integers:
    """[texts], UTF-8 bytes of each."""
    return np.diff(strings.offsets)


def words_of(strings: Strings) -> Integers:
    """[texts], words of each: runs of anything but ASCII white space."""
    return _words(strings.data, strings.offsets)


def size_histogram(sizes: Integers) -> Integers:
    """[SIZE_BINS], how many sizes fall between which powers of two."""
    places = np.frexp(sizes.astype(np.float64))[1] - 1
    return np.bincount(np.clip(places, 0, SIZE_BINS - 1), minlength=SIZE_BINS)


@njit(cache=True, nogil=True)
def _words(data: NDArray[np.uint8], offsets: Integers) -> Integers:
    counts = np.zeros(len(offsets) - 1, np.int64)
    for i in range(len(counts)):
        inside = False
        count = 0
        for k in range(offsets[i], offsets[i + 1]):
            space = data[k] == 32 or (9 <= data[k] <= 13)
            if not space and not inside:
                count += 1
            inside = not space
        counts[i] = count
    return counts
