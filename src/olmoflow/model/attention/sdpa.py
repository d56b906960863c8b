"""torch's scaled_dot_product_attention on blocks of queries."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


@dataclass(frozen=True)
class BlockwiseSDPA:
    """Attention by torch's kernels, one block of queries at a time."""

    window: int | None
    document_ids: Tensor | None

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, T, H, D], [B, T, H_kv, D], [B, T, H_kv, D] -> [B, T, H, D]."""
        length = q.shape[1]
        block = self.window or length
        blocks = [self._block(q, k, v, i, min(i + block, length)) for i in range(0, length, block)]
        return torch.cat(blocks, dim=1)

    def _block(self, q: Tensor, k: Tensor, v: Tensor, start: int, stop: int) -> Tensor:
        first = 0 if self.window is None else max(0, start - self.window + 1)
        queries = torch.arange(start, stop, device=q.device)[:, None]
        keys = torch.arange(first, stop, device=q.device)
        mask = visible(queries, keys, self.window)
        if self.document_ids is not None:
            ids = self.document_ids
            mask = mask & (ids[:, None, start:stop, None] == ids[:, None, None, first:stop])
        return masked_attention(q[:, start:stop], k[:, first:stop], v[:, first:stop], mask)


def visible(queries: Tensor, keys: Tensor, window: int | None) -> Tensor:
    """Which key positions each query position sees, by causality and the window."""
    mask = keys <= queries
    return mask if window is None else mask & (keys > queries - window)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """SDPA over [B, T, H, D] tensors; the mask [..., T_q, T_k] is True where a key is seen."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    grouped = q.shape[1] != k.shape[1]
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    return out.transpose(1, 2)
