"""A pseudo-random permutation of any size that is computed, not stored.

A balanced Feistel network permutes the numbers below a power of four; values that fall outside the
wanted size are sent through again until they fall inside (cycle walking; Black and Rogaway,
"Ciphers with arbitrary finite domains", 2002). So the i-th of a billion samples costs no memory.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 4
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def permute(index: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Where a permutation of range(size) sends each index.

    Args:
        index: [N], each in range(size).
        size: How many there are.
        seed: Chooses the permutation.

    Returns:
        [N] int64.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    keys = _keys(seed)
    values = index.astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half, keys)
        outside = values >= size
    return values.astype(np.int64)


def _keys(seed: int) -> NDArray[np.uint64]:
    return np.random.SeedSequence(seed).generate_state(_ROUNDS, np.uint64).astype(np.uint64)


def _feistel(values: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    mask = np.uint64((1 << half) - 1)
    shift = np.uint64(half)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_scramble(right + key) & mask)
    return (left << shift) | right


def _scramble(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * _MIX
    values = (values ^ (values >> np.uint64(27))) * _MIX2
    return values ^ (values >> np.uint64(31))
