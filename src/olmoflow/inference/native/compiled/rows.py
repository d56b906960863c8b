"""`RowOperations` as compiled loops."""

from __future__ import annotations

import torch
from torch import Tensor

from olmoflow.inference.native.compiled import kernels
from olmoflow.inference.native.rows import Turn
from olmoflow.inference.native.weights import LayerWeights
from olmoflow.model import Olmo3Config
from olmoflow.model.rope import Rotation


class CompiledRows:
    """In place where that is possible.

    Args:
        config: The model's.
        window_rope: Rotations of window layers.
        full_rope: Rotations of full-attention layers.
    """

    def __init__(self, config: Olmo3Config, window_rope: Rotation, full_rope: Rotation) -> None:
        self.config, self.window_rope, self.full_rope = config, window_rope, full_rope
        self.epsilon = torch.tensor([config.norm_eps])

    def turn(self, positions: Tensor) -> Turn:
        """See `RowOperations.turn`."""
        width, heads = self.config.head_width, self.config.n_heads
        kv_heads = self.config.n_kv_heads

        def queries_keys_values(
            number: int, layer: LayerWeights, qkv: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            far = self.config.is_full_attention(number)
            cos, sin = self.full_rope if far else self.window_rope
            norms = layer.q_norm, layer.k_norm, self.epsilon
            shape = qkv, qkv.stride(0), heads, kv_heads
            arguments = *shape, *norms, cos, sin, positions
            kernels.turn((qkv.dtype, width), len(qkv), *arguments, numbers=qkv.numel())
            q, k, v = torch.split(qkv.view(len(qkv), -1, width), [heads, kv_heads, kv_heads], dim=1)
            return q, k, v

        return queries_keys_values

    def add_normed(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """See `RowOperations.add_normed`."""
        arguments = x, y, weight, self.epsilon, x.shape[1]
        kernels.add_normed((x.dtype,), len(x), *arguments, numbers=x.numel())
        return x

    def gate(self, gate_up: Tensor) -> Tensor:
        """See `RowOperations.gate`."""
        width = gate_up.shape[1] // 2
        out = gate_up.new_empty((len(gate_up), width))
        kernels.gate((out.dtype,), len(out), gate_up, out, width, numbers=out.numel())
        return out
