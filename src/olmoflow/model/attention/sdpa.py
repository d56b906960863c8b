"""torch's scaled_dot_product_attention on blocks of queries and the keys that they may see.

The kernels compute every pair of a query and a key that they are given, masked or not, so the cost
is the area of the blocks' rectangles. Narrow blocks keep it near that of the visible pairs, and
with a window it grows linearly with the length.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

NARROWEST, WIDEST = 128, 512
"""Queries per block: more widen the rectangles, fewer make kernels slow and compilation long."""

LONGEST_IN_BLOCKS = 1024
"""Tokens up to which causal attention without a window is cut into blocks on a CPU. Its kernel
skips keys in steps of 512 only, so from here on it does as well uncut; a GPU's does at any length.
"""


class BlockwiseSDPA:
    """Attention by torch's kernels, one block of queries at a time.

    The blocks share one bias of [block, window + block]. Only documents give each its own: together
    `batch * queries * (window + block)` numbers, once for all layers with that window. Where that
    is too much (long rows of documents, no window), "flex" and "flash" do without.

    Args:
        window: Tokens seen, the current one included; None for all.
        document_ids: [B, T], or None.
        length: Of the keys, T.
        queries: The last so many tokens are queries.
        device: Of the queries.
        dtype: Of the queries.
    """

    def __init__(
        self,
        window: int | None,
        document_ids: Tensor | None,
        length: int,
        queries: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        window = length if window is None else min(window, length)
        cut = window < length or (device.type == "cpu" and length <= LONGEST_IN_BLOCKS)
        self.one_call = document_ids is None and not cut and queries == length
        self.block = min(max(window // 4, NARROWEST), WIDEST)
        self.reach = -(-(window - 1) // self.block)  # blocks seen before a query's own
        self.length, self.first_query = length, length - queries
        self.biases: list[Tensor] = []
        if not self.one_call:
            bias = _bias(window, self.block, self.reach, device, dtype)
            self.biases = self._biases(bias, document_ids)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, Q, H, D], [B, T, H_kv, D], [B, T, H_kv, D] -> [B, Q, H, D]."""
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        grouped = q.shape[1] != k.shape[1]
        if self.one_call:
            out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
            return out.transpose(1, 2)
        # Split and joined, not sliced: the gradient of each slice would have the full length.
        queries = torch.split(q, self.block, dim=2)
        keys, values = (torch.split(x, self._pieces(), dim=2) for x in (k, v))
        blocks = []
        before = len(keys) - len(queries)
        for i, (query, bias) in enumerate(zip(queries, self.biases, strict=True), before):
            seen = slice(max(0, i - self.reach), i + 1)
            near = torch.cat(keys[seen], dim=2), torch.cat(values[seen], dim=2)
            blocks.append(
                scaled_dot_product_attention(query, *near, attn_mask=bias, enable_gqa=grouped)
            )
        return torch.cat(blocks, dim=2).transpose(1, 2)

    def _pieces(self) -> list[int]:
        """Keys of each piece: the blocks of the queries, and before them as many as there are."""
        lead = self.first_query % self.block
        rest = range(lead, self.length, self.block)
        sizes = [min(self.block, self.length - start) for start in rest]
        return [lead, *sizes] if lead else sizes

    def _biases(self, bias: Tensor, document_ids: Tensor | None) -> list[Tensor]:
        """The bias of each block: a view of the common one, or that with the documents cut out."""
        biases = []
        before = self.reach * self.block
        for start in range(self.first_query, self.length, self.block):
            first, stop = max(0, start - before), min(start + self.block, self.length)
            own = bias[: stop - start, before - (start - first) : before + (stop - start)]
            if document_ids is not None:
                ids = (
                    document_ids[:, None, start:stop, None],
                    document_ids[:, None, None, first:stop],
                )
                own = torch.where(ids[0] == ids[1], own, -torch.inf)
            biases.append(own)
        return biases


def _bias(window: int, block: int, reach: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """0 where one of a block's queries sees a key of its own or the `reach` blocks before."""
    keys = torch.arange((reach + 1) * block, device=device)
    seen = visible(keys[-block:, None], keys, window)
    return torch.zeros(seen.shape, device=device, dtype=dtype).masked_fill(~seen, -torch.inf)


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
