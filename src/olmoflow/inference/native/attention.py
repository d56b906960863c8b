"""Attention of new tokens over the keys and values in slabs.

Decoding (one new token of each sequence) multiplies with the slabs as they lie in memory. Reading a
prompt (many new tokens of a few sequences) pads the queries to one block; from the beginning of a
sequence it is the model's own attention, later the stored keys are put before the new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from olmoflow.inference.native.slab import Slab
from olmoflow.model import Olmo3Config
from olmoflow.model.attention import prepare

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SlabRows:
    """The sequences of a slab, which are its first rows, and where they stand in the batch."""

    slab: Slab
    first: int
    count: int


class DecodeAttention:
    """One new token of each sequence.

    Args:
        config: The model's.
        parts: The slabs that the batch's tokens belong to, in its order.
        positions: [N]: tokens that each sequence has read before.
    """

    def __init__(self, config: Olmo3Config, parts: Sequence[SlabRows], positions: Tensor) -> None:
        self.scale = config.head_width**-0.5
        self.heads = config.n_kv_heads
        self.parts = [_DecodePart(part, positions) for part in parts]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[N, H, D], [N, H_kv, D], [N, H_kv, D] -> [N, H, D]."""
        new = torch.stack((k, v), dim=1)  # [N, 2, H_kv, D]
        seen = [self._attend(part, layer, q[part.where], new[part.where]) for part in self.parts]
        return seen[0] if len(seen) == 1 else torch.cat(seen)

    def _attend(self, part: _DecodePart, layer: int, q: Tensor, new: Tensor) -> Tensor:
        part.slab.write(layer, part.rows, part.positions, new)
        # All slots, empty ones too: batched products of half precision copy what has gaps.
        keys, values = (kv[: len(q)].flatten(0, 1) for kv in part.slab.layers[layer])
        queries = q.reshape(len(q) * self.heads, -1, q.shape[-1])  # [count * H_kv, H / H_kv, D]
        scores = torch.bmm(queries, keys.transpose(1, 2)).view(len(q), q.shape[1], -1)
        bias = part.biases[part.slab.slots[layer]]
        # The sum is fp32, and so is the softmax.
        weights = torch.add(bias, scores, alpha=self.scale).softmax(-1).to(q.dtype)
        seen = torch.bmm(weights.view(len(keys), -1, keys.shape[1]), values)
        return seen.view(q.shape)


class _DecodePart:
    """What all layers share: rows, positions, and for each number of slots a bias."""

    def __init__(self, part: SlabRows, positions: Tensor) -> None:
        self.slab = part.slab
        self.where = slice(part.first, part.first + part.count)
        self.positions = positions[self.where]
        self.rows = torch.arange(part.count, device=positions.device)
        self.biases: dict[int, Tensor] = {}  # [count, 1, slots], fp32
        for slots in set(part.slab.slots):
            # A slot beyond the newest token's is empty until the ring has gone round.
            empty = torch.arange(slots, device=positions.device) > self.positions[:, None]
            bias = torch.zeros(empty.shape, device=positions.device)
            self.biases[slots] = bias.masked_fill_(empty, -torch.inf)[:, None]


class ChunkAttention:
    """Several new tokens of each of several sequences in one slab.

    Args:
        config: The model's.
        slab: Where their keys and values lie.
        rows: [R], their rows.
        starts: [R], tokens that each has read before.
        lengths: [R], new tokens of each.
        branches: [N] or None. Tokens of branch 0 are the trunk; a token sees the trunk and its own
            branch, so that several continuations are read beside each other.
        positions: [N], of each token in its sequence.
        store: Whether the new tokens' keys and values are kept.
    """

    def __init__(
        self,
        config: Olmo3Config,
        slab: Slab,
        rows: Ints,
        starts: Ints,
        lengths: Ints,
        positions: Ints,
        *,
        branches: Ints | None = None,
        store: bool = True,
    ) -> None:
        self.config, self.slab, self.store = config, slab, store
        self.device, self.dtype = slab.layers[0].device, slab.layers[0].dtype
        self.shape = len(rows), int(lengths.max())  # R, T
        row_of_token = np.repeat(np.arange(len(rows)), lengths)
        place = np.arange(len(row_of_token)) - np.repeat(lengths.cumsum() - lengths, lengths)
        ragged = bool((lengths != lengths[0]).any())
        self.padded = self._tensor(row_of_token * self.shape[1] + place) if ragged else None
        self.rows = self._tensor(rows)
        self.longest_start = int(starts.max())
        if store:
            ends = np.repeat(starts + lengths, lengths)
            self.kept = {
                slots: self._stored_tokens(rows[row_of_token], positions, ends, slots)
                for slots in set(slab.slots)
            }
        windows = {config.window(layer) for layer in range(config.n_layers)}
        self.causal = self.longest_start == 0 and branches is None
        if self.causal:
            self.attends = {
                window: prepare(
                    "sdpa",
                    window,
                    None,
                    length=self.shape[1],
                    device=self.device,
                    dtype=self.dtype,
                )
                for window in windows
            }
        else:
            queries = self._pad(self._tensor(positions), -1)
            lanes = self._tensor(np.zeros_like(positions) if branches is None else branches)
            new = self._new_seen(self._pad(lanes, -1))
            first = self._tensor(starts)
            self.biases = {window: self._bias(window, first, queries, new) for window in windows}

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[N, H, D], [N, H_kv, D], [N, H_kv, D] -> [N, H, D]."""
        block_q, block_k, block_v = (self._pad(x, 0) for x in (q, k, v))  # [R, T, heads, D]
        window = self.config.window(layer)
        if self.causal:
            out = self.attends[window](block_q, block_k, block_v)
        else:
            out = self._attend_stored(layer, block_q, block_k, block_v)
        if self.store:
            self.keep(layer, k, v)
        flat = out.flatten(0, 1)
        return flat if self.padded is None else flat[self.padded]

    def keep(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Store the new tokens' keys and values, [N, H_kv, D]."""
        rows, positions, kept = self.kept[self.slab.slots[layer]]
        new = torch.stack((k, v), dim=1)
        self.slab.write(layer, rows, positions, new if kept is None else new[kept])

    def _attend_stored(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        stored = min(self.longest_start, self.slab.slots[layer])
        old = self.slab.layers[layer][:, self.rows, :, :stored]  # [2, R, H_kv, stored, D]
        keys, values = (
            torch.cat((before, new.transpose(1, 2)), dim=2)
            for before, new in zip(old, (k, v), strict=True)
        )
        out = scaled_dot_product_attention(
            q.transpose(1, 2),
            keys,
            values,
            attn_mask=self.biases[self.config.window(layer)],
            enable_gqa=q.shape[2] != k.shape[2],
        )
        return out.transpose(1, 2)

    def _bias(self, window: int | None, starts: Tensor, queries: Tensor, new: Tensor) -> Tensor:
        """[R, 1, T, stored + T]: 0 where a query [R, T] sees a stored or a new key."""
        slots = self.slab.capacity if window is None else min(window, self.slab.capacity)
        newest = starts[:, None] - 1  # [R, 1]
        slot = torch.arange(min(self.longest_start, slots), device=self.device)
        keys = newest - (newest - slot) % slots  # [R, stored]: positions; negative where empty
        old = (keys >= 0)[:, None].expand(-1, queries.shape[1], -1)
        if window is not None:
            old = old & (keys[:, None] > queries[:, :, None] - window)
            new = new & (queries[:, None] > queries[:, :, None] - window)
        seen = torch.cat((old, new), dim=-1)
        bias = torch.zeros(seen.shape, dtype=self.dtype, device=self.device)
        return bias.masked_fill_(~seen, -torch.inf)[:, None]

    @staticmethod
    def _new_seen(lanes: Tensor) -> Tensor:
        """[R, T, T]: which of the new tokens a new token sees, but for the window."""
        length = lanes.shape[1]
        before = torch.ones((length, length), dtype=torch.bool, device=lanes.device).tril()
        keys, queries = lanes[:, None, :], lanes[:, :, None]
        return before & ((keys == 0) | (keys == queries))

    def _stored_tokens(
        self, rows: Ints, positions: Ints, ends: Ints, slots: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of the new tokens those that stay: of what shares a slot, the last one."""
        kept = positions >= ends - slots
        which = None if kept.all() else self._tensor(kept.nonzero()[0])
        return self._tensor(rows[kept]), self._tensor(positions[kept]), which

    def _pad(self, x: Tensor, value: int) -> Tensor:
        """[N, …] -> [R, T, …]."""
        if self.padded is None:
            return x.view(*self.shape, *x.shape[1:])
        block = x.new_full((self.shape[0] * self.shape[1], *x.shape[1:]), value)
        block[self.padded] = x
        return block.view(*self.shape, *x.shape[1:])

    def _tensor(self, values: Ints) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)
