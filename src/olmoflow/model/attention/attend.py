"""One function for attention, whatever computes it."""

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from olmoflow.errors import UserError
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
    return prepare(backend, window, document_ids)(q, k, v)


def prepare(backend: AttentionBackend, window: int | None, document_ids: Tensor | None) -> Attend:
    """The part of `attend` that all layers with the same window share."""
    if backend == "sdpa":
        return BlockwiseSDPA(window, document_ids)
    known = ", ".join(get_args(AttentionBackend))
    raise UserError(f"attention: {backend!r} found, one of {known} expected")
