"""The attention sub-layer of a block."""

import torch
from torch import Tensor, nn

from olmoflow.model.attention.attend import Attend
from olmoflow.model.attention.sdpa import masked_attention, visible
from olmoflow.model.cache import LayerCache
from olmoflow.model.config import Olmo3Config
from olmoflow.model.linear import Linear
from olmoflow.model.norm import RMSNorm
from olmoflow.model.rope import Rotation, rotate


class Attention(nn.Module):
    """Grouped-query attention with RMSNorm over the full width of queries and of keys."""

    def __init__(self, config: Olmo3Config) -> None:
        super().__init__()
        self.head_dim = config.head_width
        queries, keys = (n * config.head_width for n in (config.n_heads, config.n_kv_heads))
        self.q_proj = Linear(config.d_model, queries)
        self.k_proj = Linear(config.d_model, keys)
        self.v_proj = Linear(config.d_model, keys)
        self.o_proj = Linear(queries, config.d_model)
        self.q_norm = RMSNorm(queries, config.norm_eps)
        self.k_norm = RMSNorm(keys, config.norm_eps)

    def forward(
        self, x: Tensor, rotation: Rotation, attend: Attend, cache: LayerCache | None = None
    ) -> Tensor:
        """[B, T, d_model] -> [B, T, d_model]."""
        q = rotate(self._heads(self.q_norm(self.q_proj(x))), rotation)  # [B, T, H, head_dim]
        k = rotate(self._heads(self.k_norm(self.k_proj(x))), rotation)  # [B, T, H_kv, head_dim]
        v = self._heads(self.v_proj(x))
        seen = attend(q, k, v) if cache is None else _attend_cached(q, k, v, attend, cache)
        out: Tensor = self.o_proj(seen.flatten(2))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], -1, self.head_dim)


def _attend_cached(q: Tensor, k: Tensor, v: Tensor, attend: Attend, cache: LayerCache) -> Tensor:
    start = cache.length
    keys, values, positions = cache.append(k, v)
    if start == 0:
        return attend(q, k, v)
    if q.shape[1] == 1:  # what is stored is exactly what the newest token sees
        return masked_attention(q, keys, values, None)
    queries = torch.arange(start, cache.length, device=q.device)[:, None]
    return masked_attention(q, keys, values, visible(queries, positions, cache.window))
