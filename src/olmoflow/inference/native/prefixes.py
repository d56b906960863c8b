"""What prompts have in common is read once.

Samples of one prompt, questions behind the same examples, turns of one chat: what one sequence has
read, another that begins alike copies. A window layer's ring forgets, so once it has gone round
only the whole of what was read can be taken over, not a shorter part; a *snapshot* keeps the state
at the point where sequences part.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.inference.native.slab import Slab

Ints = NDArray[np.int64]

SHORTEST = 16
"""Tokens that are worth sharing."""


def common_length(a: Ints, b: Ints) -> int:
    """Tokens with which both begin."""
    shorter = min(len(a), len(b))
    if not shorter or a[0] != b[0]:  # most have nothing in common, and there are many pairs
        return 0
    differing = (a[:shorter] != b[:shorter]).nonzero()[0]
    return int(differing[0]) if len(differing) else shorter


def usable(common: int, read: int, window: int) -> int:
    """Tokens that can be taken over from a sequence.

    Args:
        common: With which both begin.
        read: Tokens that the source has read.
        window: Of the window layers.
    """
    common = min(common, read)
    return common if read <= window or common == read else 0


def shared_by(first: Ints, others: Sequence[Ints]) -> tuple[int, list[int]]:
    """The beginning of a text whose sharing with others saves most.

    Returns:
        Its length and the numbers of the others that share it; (0, []) where it saves nothing.
    """
    common = np.array([common_length(first, other) for other in others], dtype=np.int64)
    if not len(common):
        return 0, []
    lengths = np.sort(common)[::-1]
    saved = lengths * np.arange(1, len(lengths) + 1)
    length = int(lengths[saved.argmax()])
    if length < SHORTEST:
        return 0, []
    return length, (common >= length).nonzero()[0].tolist()


@dataclass(frozen=True)
class Snapshot:
    """What a sequence had read at some point.

    Attributes:
        tokens: All of them.
        slab: One row with their keys and values.
        state: Of the weights that made them: how often those had changed.
    """

    tokens: Ints
    slab: Slab
    state: int


class Snapshots:
    """The snapshots used last, within a number of bytes."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._kept: OrderedDict[bytes, Snapshot] = OrderedDict()

    def keep(self, snapshot: Snapshot) -> None:
        """Keep one, and drop those that have not been used for longest."""
        self._kept[snapshot.tokens.tobytes()] = snapshot
        while self._kept and sum(_size(each) for each in self._kept.values()) > self.budget:
            self._kept.popitem(last=False)

    def best(self, tokens: Ints, state: int, window: int) -> tuple[int, Snapshot | None]:
        """The one that spares most of reading the tokens, and how many it spares."""
        for key in [k for k, each in self._kept.items() if each.state != state]:
            del self._kept[key]
        best, found = 0, None
        for key, each in self._kept.items():
            spared = usable(common_length(tokens, each.tokens), len(each.tokens), window)
            if spared > best:
                best, found = spared, key
        if found is None:
            return 0, None
        self._kept.move_to_end(found)
        return best, self._kept[found]


def _size(snapshot: Snapshot) -> int:
    return sum(layer.nbytes for layer in snapshot.slab.layers)
