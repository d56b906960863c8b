"""Reads packed sequences: documents side by side, then padding.

Labels are the inputs shifted by one, as in OLMo-core: after a document's end stands the first token
of its neighbour (which of conversations is no target). A sequence's last token has a target only
where its document was cut behind it, and padding has none. Each document has an id of its own, and
so has the padding: with a document mask nothing attends across.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from olmoflow.tokens.mixture import Sizes
from olmoflow.tokens.packing import Packing
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import WindowReader


@dataclass
class PackedReader(WindowReader):
    """Reads samples of a mixture of packed sources.

    Attributes:
        packed: [sources].
    """

    packed: Sequence[Packing] = ()

    def _sample(
        self,
        source: int,
        window: int,
        tokens: NDArray[np.int64],
        ids: NDArray[np.int32] | None,
        learnt: NDArray[np.bool_] | None,
    ) -> int:
        packing, at = self.packed[source], 0
        first, end = packing.offsets[window : window + 2].tolist()
        for number, piece in enumerate(range(first, end)):
            start, length = int(packing.starts[piece]), int(packing.lengths[piece])
            # What follows a piece that was cut fills its sequence: one target more.
            length += int(packing.continues[piece])
            here = None if learnt is None else learnt[at : at + length]
            self._read(self.shards[source], start, tokens[at : at + length], here)
            if here is not None and self.shards[source].targets is not None:
                here[0] = False  # what stands before it is another document
            if ids is not None:
                ids[at : at + length] = number
            at += length
        if ids is not None:
            ids[at:] = end - first
        return len(tokens) - at

    def expect(self, first: int, count: int) -> None:
        """Let remote shards fetch what these samples lie in."""
        if not any(shards.remote for shards in self.shards):
            return
        which, windows = self.mixture.locate(first, count)
        for number, (shards, packing) in enumerate(zip(self.shards, self.packed, strict=True)):
            spans = [range(*packing.offsets[w : w + 2]) for w in windows[which == number]]
            pieces = np.array([piece for span in spans for piece in span], np.int64)
            shards.expect(packing.starts[pieces], packing.lengths[pieces])


def packed_sizes(packing: Packing, shards: TokenShards) -> Sizes:
    """How many sequences a packed source has; another order than its windows'."""
    return Sizes(packing.sequences, packing.group_starts, f"best_fit/{shards.content}")
