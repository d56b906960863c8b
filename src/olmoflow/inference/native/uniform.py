"""Random numbers that depend on nothing but what they are for.

The number for a token is a hash of the request's seed, the sample's number and the token's place in
the sample. What else runs in the batch, and when, changes none of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BITS = 23  # a float32 below 1, so that its product with a sum stays below the sum


def stream_key(seed: int, sample: int) -> int:
    """Key of the numbers of one sample."""
    keys = np.array([seed % 2**64, sample % 2**64], dtype=np.uint64)
    mixed = _mix(keys + _GOLDEN)
    return int(_mix(mixed[:1] ^ np.roll(mixed, -1)[:1] * _GOLDEN)[0])


def uniforms(keys: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.float32]:
    """Numbers in [0, 1) of streams, [B], at places, [..., B]."""
    with np.errstate(over="ignore"):
        mixed = _mix(keys + (places.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return (mixed >> np.uint64(64 - _BITS)).astype(np.float32) / np.float32(2**_BITS)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable PRNGs, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
