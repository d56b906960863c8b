"""torch's FlexAttention: documents, causality and window as one block-sparse mask.

Compiled on a GPU, where it skips the blocks of the mask that are empty. A CPU computes it
uncompiled and forwards only, by the definition, which is enough to check what it computes.
"""

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from olmoflow.errors import UserError

# Compiled on their first call.
_compiled_attention = torch.compile(flex_attention)
_compiled_create_mask = torch.compile(create_block_mask)


class FlexAttention:
    """Attention by FlexAttention; the mask is made here, once for all layers of a window.

    Args:
        window: Tokens seen, the current one included; None for all.
        document_ids: [B, T], or None.
        length: Of the keys, T.
        queries: The last so many tokens are queries.
        device: Of the queries.
    """

    def __init__(
        self,
        window: int | None,
        document_ids: Tensor | None,
        length: int,
        queries: int,
        device: torch.device,
    ) -> None:
        self.mask = _mask(window, document_ids, length, queries, device)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, Q, H, D], [B, T, H_kv, D], [B, T, H_kv, D] -> [B, Q, H, D]."""
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        if q.device.type == "cpu" and q.requires_grad:
            raise UserError("attention: 'flex' on a CPU found, which cannot train; 'sdpa' expected")
        compute = flex_attention if q.device.type == "cpu" else _compiled_attention
        grouped = q.shape[1] != k.shape[1]
        out: Tensor = compute(q, k, v, block_mask=self.mask, enable_gqa=grouped)
        return out.transpose(1, 2)


def _mask(
    window: int | None,
    document_ids: Tensor | None,
    length: int,
    queries: int,
    device: torch.device,
) -> BlockMask:
    reach = length if window is None else window
    first_query = length - queries

    def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        query = query + first_query
        near = (key <= query) & (key > query - reach)
        if document_ids is None:
            return near
        return near & (document_ids[batch, query] == document_ids[batch, key])

    # Uncompiled it would write out the whole [T, T] mask before it finds the empty blocks.
    create = create_block_mask if device.type == "cpu" else _compiled_create_mask
    rows = None if document_ids is None else document_ids.shape[0]
    mask: BlockMask = create(seen, rows, None, queries, length, device=device)
    return mask
