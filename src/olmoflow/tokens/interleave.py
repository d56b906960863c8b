"""Which source each sample comes from, so that every prefix is close to the proportions.

Sources hang in a binary tree. Of the samples that reach a node, the m-th goes left when
``floor((m + 1) l / w) > floor(m l / w)``, with l the weight on the left and w the whole: the evenly
spaced choice that Bresenham's line makes. So the number of samples that a source has given before
position k is a few nested divisions, never differs from ``k × proportion`` by more than the depth
of the tree, and is exact at every multiple of the total weight.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Products of two numbers below this fit into int64.
_LARGEST_TOTAL = 1 << 31


class Interleave:
    """An endless, evenly mixed sequence of sources.

    Args:
        weights: [S], how often each source comes, relative to the others. Whole numbers (counts of
            windows) are kept exactly while they sum to less than 2^31, else rounded to that total.
    """

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self.weights = _whole(weights)
        self.depth = max(0, (len(weights) - 1).bit_length())
        leaves = 1 << self.depth
        # Node i has the children 2i and 2i + 1; the leaves stand at the end.
        tree = np.zeros(2 * leaves, np.int64)
        tree[leaves : leaves + len(weights)] = self.weights
        for node in range(leaves - 1, 0, -1):
            tree[node] = tree[2 * node] + tree[2 * node + 1]
        self._tree = tree

    def assign(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Source of each position, and how many samples of it came before: both [N] int64."""
        node = np.ones(len(positions), np.int64)
        before = positions.astype(np.int64)
        for _ in range(self.depth):
            left, whole = self._tree[2 * node], self._tree[node]
            lefts = _share(before, left, whole)
            goes_left = _share(before + 1, left, whole) > lefts
            before = np.where(goes_left, lefts, before - lefts)
            node = 2 * node + ~goes_left
        return node - (len(self._tree) // 2), before


def _share(
    count: NDArray[np.int64], part: NDArray[np.int64], whole: NDArray[np.int64]
) -> NDArray[np.int64]:
    """``floor(count * part / whole)`` without overflow."""
    cycles, rest = np.divmod(count, whole)
    return cycles * part + rest * part // whole


def _whole(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Weights as whole numbers, none of them zero."""
    total = float(weights.sum())
    if total < _LARGEST_TOTAL and np.array_equal(weights, np.floor(weights)):
        return weights.astype(np.int64)
    scaled = weights * ((_LARGEST_TOTAL - len(weights) - 1) / total)
    return np.maximum(1, np.floor(scaled)).astype(np.int64)
