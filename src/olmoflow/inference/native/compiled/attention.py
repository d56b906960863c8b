"""Attention of a decoding step as one compiled loop, which reads no more keys than there are."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from olmoflow.inference.native.attention import SlabRows
from olmoflow.inference.native.compiled import kernels
from olmoflow.model import Olmo3Config


class CompiledDecodeAttention:
    """One new token of each sequence; does what `DecodeAttention` does.

    Args:
        config: The model's.
        parts: The slabs that the batch's tokens belong to, in its order.
        positions: [N]: tokens that each sequence has read before.
    """

    def __init__(self, config: Olmo3Config, parts: Sequence[SlabRows], positions: Tensor) -> None:
        self.heads, self.kv_heads = config.n_heads, config.n_kv_heads
        self.parts, self.positions = parts, positions

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[N, H, D], [N, H_kv, D], [N, H_kv, D] -> [N, H, D]."""
        out = q.new_empty(q.shape)
        for part in self.parts:
            where, slab = slice(part.first, part.first + part.count), part.slab
            kernels.attend(
                (q.dtype, q.shape[2]),
                part.count,
                *(q[where], k[where], v[where], q.stride(0), out[where], self.heads, self.kv_heads),
                *(slab.layers[layer], slab.rows, slab.slots[layer], self.positions[where]),
            )
        return out
