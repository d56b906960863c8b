"""One function for attention, whatever computes it."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.model.attention.flash import FlashAttention, require_flash
from olmoflow.model.attention.sdpa import BlockwiseSDPA

AttentionBackend = Literal["sdpa", "flex", "flash"]

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries [B, T, H, D], keys and values [B, T, H_kv, D] -> [B, T, H, D]."""


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    window: int | None,
    document_ids: Tensor | None = None,
    backend: AttentionBackend = "sdpa",
) -> Tensor:
    """Softmax attention of each token over the earlier tokens that it may see.

    Args:
        q: Queries [B, T, H, D].
        k: Keys [B, T, H_kv, D]; each serves `H / H_kv` consecutive query heads.
        v: Values, of the shape of the keys.
        window: Tokens seen, the current one included; None for all.
        document_ids: [B, T], non-decreasing within a row; only tokens of the same id are seen.
        backend: What computes it; the result is the same up to rounding.

    Returns:
        [B, T, H, D], in the dtype of q.
    """
    prepared = prepare(
        backend, window, document_ids, length=q.shape[1], device=q.device, dtype=q.dtype
    )
    return prepared(q, k, v)


def prepare(
    backend: AttentionBackend,
    window: int | None,
    document_ids: Tensor | None,
    *,
    length: int,
    device: torch.device,
    dtype: torch.dtype,
    queries: int | None = None,
) -> Attend:
    """The part of `attend` that all layers with the same window share.

    Args:
        backend: As for `attend`.
        window: As for `attend`.
        document_ids: As for `attend`.
        length: Of the keys, T.
        device: Of the queries.
        dtype: Of the queries.
        queries: The last so many of the T tokens are queries; None: all.

    Raises:
        UserError: The backend is unknown, not installed, or not made for such tensors.
    """
    check_backend(backend)
    queries = length if queries is None else queries
    if backend == "sdpa":
        return BlockwiseSDPA(window, document_ids, length, queries, device, dtype)
    if backend == "flash":
        return FlashAttention(window, document_ids, queries, device, dtype)
    # Its import brings in torch's compiler, a second that the others need not wait.
    from olmoflow.model.attention.flex import FlexAttention

    return FlexAttention(window, document_ids, length, queries, device)


def check_backend(backend: str) -> None:
    """Checks what can be known of a backend before there are tensors.

    Raises:
        UserError: It is unknown or not installed.
    """
    known = get_args(AttentionBackend)
    if backend not in known:
        raise UserError(f"attention: {backend!r} found, one of {', '.join(known)} expected")
    if backend == "flash":
        require_flash()
