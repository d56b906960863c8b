"""Pseudo-random permutations of any size that are computed, not stored.

A Feistel network permutes the numbers below a power of two; those that fall outside the wanted size
are sent through again until they fall inside (cycle walking; Black and Rogaway, "Ciphers with
arbitrary finite domains", 2002). So the i-th of a billion samples costs no memory.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

# Four suffice for a pseudo-random permutation of many bits; small sizes have halves of one or two.
_ROUNDS = 8
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def permute(
    index: NDArray[np.int64], size: int, seed: int | NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Where a permutation of range(size) sends each index.

    Args:
        index: [N], each in range(size).
        size: How many there are.
        seed: Chooses the permutation; one for all, or [N] for a permutation each.

    Returns:
        [N] int64.
    """
    bits = max(2, (size - 1).bit_length())
    values = index.astype(np.uint64)
    seeds = np.broadcast_to(np.asarray(seed, np.uint64), values.shape)
    outside = np.arange(len(values))
    while len(outside):
        values[outside] = _feistel(values[outside], bits, seeds[outside])
        outside = outside[values[outside] >= size]
    return values.astype(np.int64)


def hash_seed(*parts: object) -> int:
    """A 64-bit seed from a few values."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def derive_seeds(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A seed for each of many numbers, [N] to [N]."""
    return _scramble(np.uint64(seed) ^ _scramble(numbers.astype(np.uint64) + _STEP))


def _feistel(
    values: NDArray[np.uint64], bits: int, seeds: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Permute the numbers below ``2**bits``; the two halves take turns in changing each other."""
    low_bits = np.uint64(bits // 2)
    low_mask = np.uint64((1 << bits // 2) - 1)
    high_mask = np.uint64((1 << bits - bits // 2) - 1)
    low, high = values & low_mask, values >> low_bits
    with np.errstate(over="ignore"):
        for number in range(_ROUNDS):
            key = seeds + _STEP * np.uint64(number + 1)
            if number % 2:
                low ^= _scramble(high ^ key) & low_mask
            else:
                high ^= _scramble(low ^ key) & high_mask
    return high << low_bits | low


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * _MIX
    values = (values ^ (values >> np.uint64(27))) * _MIX2
    return values ^ (values >> np.uint64(31))
