"""What happens to each token by itself between the matrix products, in PyTorch on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from olmoflow.inference.native.weights import LayerWeights
from olmoflow.model import Olmo3Config
from olmoflow.model.rope import Rotation

Turn = Callable[[int, LayerWeights, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Number of a layer, its weights and the product with `qkv`, [N, …], to queries [N, H, D], keys and
values [N, H_kv, D]; queries and keys normalised and rotated."""


class RowOperations(Protocol):
    """Operations on tokens; they may write to their first argument."""

    def turn(self, positions: Tensor) -> Turn:
        """What gives tokens at these positions, [N], their queries, keys and values."""
        ...

    def add_normed(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Sum of x and norm(y), [N, d_model]."""
        ...

    def gate(self, gate_up: Tensor) -> Tensor:
        """silu(gate) * up: [N, 2 * F] -> [N, F]."""
        ...


class TorchRows:
    """On any device.

    Args:
        config: The model's.
        window_rope: Rotations of window layers.
        full_rope: Rotations of full-attention layers.
    """

    def __init__(self, config: Olmo3Config, window_rope: Rotation, full_rope: Rotation) -> None:
        self.config, self.window_rope, self.full_rope = config, window_rope, full_rope
        self.heads = (config.n_heads, config.n_kv_heads, config.n_kv_heads)

    def turn(self, positions: Tensor) -> Turn:
        """See `RowOperations.turn`."""
        near, far = (_turn(table, positions) for table in (self.window_rope, self.full_rope))
        width = self.config.head_width

        def queries_keys_values(
            number: int, layer: LayerWeights, qkv: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            q, k, v = torch.split(qkv, [n * width for n in self.heads], dim=-1)
            q, k = self.norm(q, layer.q_norm), self.norm(k, layer.k_norm)
            both = torch.cat((q, k), dim=-1).view(len(q), -1, width).float()  # [N, H + H_kv, D]
            cos, sin = far if self.config.is_full_attention(number) else near
            turned = torch.addcmul(both * cos, both.roll(width // 2, -1), sin).to(q.dtype)
            q, k = torch.split(turned, list(self.heads[:2]), dim=1)
            return q, k, v.view(len(v), -1, width)

        return queries_keys_values

    def add_normed(self, x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """See `RowOperations.add_normed`."""
        return x + self.norm(y, weight)

    def gate(self, gate_up: Tensor) -> Tensor:
        """See `RowOperations.gate`."""
        gate, up = gate_up.chunk(2, dim=-1)
        return silu(gate) * up

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm in fp32, rounded to the dtype of x."""
        return rms_norm(x.float(), weight.shape, weight, self.config.norm_eps).to(x.dtype)


def _turn(table: Rotation, positions: Tensor) -> Rotation:
    """Cosine and signed sine of each token, [N, 1, head_dim] each."""
    cos, sin = (part[positions][:, None] for part in table)
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)
