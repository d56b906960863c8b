"""MinHash signatures, and the keys of their bands, compiled.

A signature has, for each of ``bands × rows`` random permutations of the n-grams, the smallest
n-gram of the document. Two documents agree in one place with the probability of their Jaccard
similarity J, in all rows of a band with J**rows, in some band with 1 - (1 - J**rows)**bands.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.dedup.words import (
    Bytes,
    Classes,
    Hashes,
    classes,
    hash_ngrams,
    hash_words,
    mix,
)
from olmoflow.curate.strings import Strings

Numbers = NDArray[np.uint32]
_LARGEST = np.uint32(0xFFFFFFFF)


class Permutations(NamedTuple):
    """Permutations of the 32-bit numbers: x → multiplier · x + shift, the multipliers odd."""

    multipliers: Numbers
    shifts: Numbers


def permutations(number: int, seed: int) -> Permutations:
    """As many as asked for; equal for equal seeds."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 1 << 32, (2, number), np.uint32)
    return Permutations(drawn[0] | np.uint32(1), drawn[1])


def collision_probability(jaccard: float, bands: int, rows: int) -> float:
    """The LSH curve: that two documents of this similarity share a band."""
    return float(1 - (1 - jaccard**rows) ** bands)


def band_keys(
    texts: Strings, ngram: int, bands: int, rows: int, chosen: Permutations
) -> tuple[Hashes, NDArray[np.bool_]]:
    """Keys of all bands of all texts.

    Args:
        texts: [documents].
        ngram: Words in an n-gram.
        bands: Bands of a signature.
        rows: Numbers in a band.
        chosen: ``bands · rows`` permutations.

    Returns:
        [bands, documents], the key of each band; [documents], whether there is a word in it.
    """
    keys = np.zeros((bands, texts.number), np.uint64)
    worded = np.zeros(texts.number, np.bool_)
    _band_keys(texts.data, texts.offsets, classes(), ngram, chosen, rows, keys, worded)
    return keys, worded


@njit(cache=True, nogil=True)
def _band_keys(
    data: Bytes,
    offsets: NDArray[np.int64],
    classes: Classes,
    ngram: int,
    chosen: Permutations,
    rows: int,
    keys: Hashes,
    worded: NDArray[np.bool_],
) -> None:
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    words = np.empty((longest + 1) // 2 + 1, np.uint64)
    ngrams = np.empty(len(words), np.uint64)
    minima = np.empty(len(chosen.multipliers), np.uint32)
    for document in range(len(offsets) - 1):
        count = hash_words(data, offsets[document], offsets[document + 1], classes, words)
        count = hash_ngrams(words, count, ngram, ngrams)
        worded[document] = count > 0
        if count > 0:
            minhash(ngrams[:count], chosen.multipliers, chosen.shifts, minima)
            fold_bands(minima, rows, keys[:, document])


@njit(cache=True, nogil=True)
def minhash(ngrams: Hashes, multipliers: Numbers, shifts: Numbers, minima: Numbers) -> None:
    """The smallest of the n-grams under each permutation, by the upper half of their hashes."""
    minima[:] = _LARGEST
    number = len(minima)
    whole = len(ngrams) - len(ngrams) % 4
    # Four at a time: the minima are read and written once for them.
    for i in range(0, whole, 4):
        a = np.uint32(ngrams[i] >> np.uint64(32))
        b = np.uint32(ngrams[i + 1] >> np.uint64(32))
        c = np.uint32(ngrams[i + 2] >> np.uint64(32))
        d = np.uint32(ngrams[i + 3] >> np.uint64(32))
        for j in range(number):
            multiplier, shift = multipliers[j], shifts[j]
            least = minima[j]
            least = min(least, np.uint32(multiplier * a + shift))
            least = min(least, np.uint32(multiplier * b + shift))
            least = min(least, np.uint32(multiplier * c + shift))
            least = min(least, np.uint32(multiplier * d + shift))
            minima[j] = least
    for i in range(whole, len(ngrams)):
        a = np.uint32(ngrams[i] >> np.uint64(32))
        for j in range(number):
            minima[j] = min(minima[j], np.uint32(multipliers[j] * a + shifts[j]))


@njit(cache=True, nogil=True)
def fold_bands(minima: Numbers, rows: int, keys: Hashes) -> None:
    """One key for the numbers of each band: ``keys`` has a place for each."""
    for band in range(len(keys)):
        key = np.uint64(rows)
        for row in range(band * rows, (band + 1) * rows):
            key = mix(key ^ np.uint64(minima[row])) + np.uint64(row)
        keys[band] = key
