"""The order of pairs, and how a step's pairs are cut into micro-batches.

Both are functions of seed and step alone. The pairs of all ranks are packed together: the longest
goes first, each into the emptiest micro-batch. So those that ranks compute at the same time are
about equally long, and each rank has as many.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.tokens.permutation import derive_seeds, hash_seed, permute


@dataclass(frozen=True)
class PairOrder:
    """All pairs in one order, then all in another.

    Attributes:
        pairs: How many there are.
        seed: Chooses the orders.
    """

    pairs: int
    seed: int

    def locate(self, first: int, count: int) -> NDArray[np.int64]:
        """The pairs [first, first + count) of the order."""
        epoch, place = np.divmod(np.arange(first, first + count), self.pairs)
        seeds = derive_seeds(hash_seed("pairs", self.seed), epoch)
        return permute(place, self.pairs, seeds)


def pack_pairs(lengths: NDArray[np.int64], capacity: int, ranks: int) -> list[list[int]]:
    """Cut a step's pairs into micro-batches.

    Args:
        lengths: Tokens of each pair, at most ``capacity``; as many pairs as ranks, or a multiple.
        capacity: Tokens of a micro-batch, at most.
        ranks: The number of micro-batches is a multiple of this.

    Returns:
        Places of the pairs of each micro-batch, ascending; the fullest micro-batch first, so that
        each ``ranks`` in a row are about equally full.
    """
    count = -(-int(lengths.sum()) // capacity)
    count = -(-count // ranks) * ranks
    # It ends: in the end every pair has a micro-batch of its own.
    while max(sizes := _spread(lengths, count))[0] > capacity:
        count += ranks
    return [sorted(places) for _, places in sorted(sizes, key=lambda size: (-size[0], size[1]))]


def _spread(lengths: NDArray[np.int64], count: int) -> list[tuple[int, list[int]]]:
    """So many micro-batches, none of them empty: the tokens of each and its pairs."""
    emptiest: list[tuple[int, int]] = [(0, number) for number in range(count)]
    places: list[list[int]] = [[] for _ in range(count)]
    for place in np.argsort(-lengths, kind="stable").tolist():
        size, number = heapq.heappop(emptiest)
        places[number].append(place)
        heapq.heappush(emptiest, (size + int(lengths[place]), number))
    return [(size, places[number]) for size, number in emptiest]
