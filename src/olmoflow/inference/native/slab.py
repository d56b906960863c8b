"""Keys and values of many sequences side by side, each with room for equally many tokens.

The rows in use lie together at the front, so that a step over all of them reads one view of the
memory and gathers nothing. A window layer has no more slots than its window and is a ring: the
token at position p lies in slot `p % slots`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from olmoflow.inference.native.pages import zeros
from olmoflow.model import Olmo3Config


class Slab:
    """Rows of one capacity.

    Args:
        config: The model's.
        capacity: Tokens of which a row holds keys and values.
        device: Where they live.
        dtype: Of keys and values.

    Attributes:
        layers: Of each layer [2, rows, H_kv, slots, head_dim]: keys, then values.
        owners: Whom each row in use belongs to; their number is the number of rows in use.
    """

    def __init__(
        self, config: Olmo3Config, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.capacity = capacity
        self.slots = [
            capacity if window is None else min(window, capacity)
            for window in map(config.window, range(config.n_layers))
        ]
        shape = (config.n_kv_heads, config.head_width)
        self.layers = [
            torch.zeros((2, 0, shape[0], slots, shape[1]), device=device, dtype=dtype)
            for slots in self.slots
        ]
        self.owners: list[int] = []
        self._addresses: NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """Rows that there is memory for."""
        return self.layers[0].shape[1]

    def resize(self, rows: int) -> None:
        """Make room for so many rows, at least those in use; their contents stay.

        One layer at a time, so that memory is never needed twice for all of them.
        """
        for number, old in enumerate(self.layers):
            # Zeros: what nobody has written is masked, and a masked NaN would still be one.
            new = zeros((2, rows, *old.shape[2:]), old.device, old.dtype)
            new[:, : len(self.owners)] = old[:, : len(self.owners)]
            self.layers[number] = new
        self._addresses = None

    def addresses(self) -> NDArray[np.int64]:
        """[layers, 3]: where a layer's keys and its values begin, until `resize`, and its slots."""
        if self._addresses is None:
            starts = [(layer.data_ptr(), layer.nbytes // 2) for layer in self.layers]
            rows = [
                (start, start + half, slots)
                for (start, half), slots in zip(starts, self.slots, strict=True)
            ]
            self._addresses = np.array(rows, dtype=np.int64)
        return self._addresses

    def add(self, owner: int) -> int:
        """Give someone a row that there is memory for; returns its number."""
        assert len(self.owners) < self.rows, "no row is left: resize first"
        self.owners.append(owner)
        return len(self.owners) - 1

    def remove(self, rows: Sequence[int]) -> list[int]:
        """Take rows back; the last ones move into their places.

        Returns:
            The rows that have another owner now.
        """
        gone = set(rows)
        kept = len(self.owners) - len(gone)
        holes = sorted(row for row in gone if row < kept)
        moved = [row for row in range(kept, len(self.owners)) if row not in gone]
        if moved:
            sources, targets = self._index(moved), self._index(holes)
            for layer in self.layers:
                layer[:, targets] = layer[:, sources]
        for source, target in zip(moved, holes, strict=True):
            self.owners[target] = self.owners[source]
        del self.owners[kept:]
        return holes

    def bring_forward(self, chosen: Collection[int]) -> list[int]:
        """Let the rows of some owners be the first ones.

        Returns:
            The rows that have another owner now.
        """
        count = len(chosen)
        behind = [r for r, owner in enumerate(self.owners) if owner in chosen and r >= count]
        before = [r for r in range(count) if self.owners[r] not in chosen]
        if behind:
            ours, theirs = self._index([*behind, *before]), self._index([*before, *behind])
            for layer in self.layers:
                layer[:, theirs] = layer[:, ours]
        for one, other in zip(behind, before, strict=True):
            self.owners[one], self.owners[other] = self.owners[other], self.owners[one]
        return behind + before

    def take_in(
        self, rows: Sequence[int], source: Slab, source_rows: Sequence[int], length: int
    ) -> None:
        """Copy the first tokens that rows of a slab hold.

        Args:
            rows: Where to; as many as `source_rows`, or those are one for all.
            source: Where from.
            source_rows: Its rows.
            length: Tokens, at most the smaller capacity. Where they are more than a layer's slots,
                they must be all that the source has read: its ring has forgotten the others.
        """
        targets, sources = self._index(rows), self._index(source_rows)
        for own, theirs in zip(self.layers, source.layers, strict=True):
            slots = min(own.shape[3], length)
            own[:, targets, :, :slots] = theirs[:, sources, :, :slots]

    def write(self, layer: int, rows: Tensor, positions: Tensor, keys_values: Tensor) -> None:
        """Store tokens.

        Args:
            layer: Number of the layer.
            rows: [N], of each token.
            positions: [N], within its sequence; no two tokens of a row share a slot.
            keys_values: [N, 2, H_kv, head_dim].
        """
        self.layers[layer][:, rows, :, positions % self.slots[layer]] = keys_values

    def _index(self, rows: Sequence[int]) -> Tensor | slice:
        first, number = rows[0], len(rows)
        if list(rows) == list(range(first, first + number)):
            return slice(first, first + number)  # as they lie: no gathering, no scattering
        return torch.tensor(list(rows), device=self.layers[0].device)
