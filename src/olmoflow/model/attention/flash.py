"""FlashAttention (arXiv 2307.08691) by the package flash-attn: CUDA, half precision.

Packed documents are sequences of their own to its kernel, so nothing is spent on pairs across
their borders, and no mask exists at any length.
"""

import importlib
from typing import Any

import torch
from torch import Tensor

from olmoflow.errors import UserError


class FlashAttention:
    """Attention by flash-attn; the documents' borders are found here, once for all layers.

    Args:
        window: Tokens seen, the current one included; None for all.
        document_ids: [B, T], or None.
        queries: The last so many tokens are queries.
        device: Of the queries.
        dtype: Of the queries.

    Raises:
        UserError: The package is missing, or it cannot compute on such tensors.
    """

    def __init__(
        self,
        window: int | None,
        document_ids: Tensor | None,
        queries: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.kernels = require_flash()
        if device.type != "cuda":
            raise UserError(f"attention: 'flash' on a {device.type} device found, CUDA expected")
        if dtype not in (torch.bfloat16, torch.float16):
            raise UserError(f"attention: 'flash' with {dtype} found, bfloat16 or float16 expected")
        reach = -1 if window is None else window - 1  # tokens to the left of the current one
        self.options = {"causal": True, "window_size": (reach, 0)}
        self.documents: tuple[Tensor, Tensor, int, int] | None = None
        if document_ids is not None:
            borders = document_borders(document_ids, queries)
            # Read back here: each layer's own reading would wait for all layers before it.
            longest_queries, longest_keys = (int(each.diff().max()) for each in borders)
            self.documents = *borders, longest_queries, longest_keys

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """[B, Q, H, D], [B, T, H_kv, D], [B, T, H_kv, D] -> [B, Q, H, D]."""
        out: Tensor
        if self.documents is None:
            # Causal, the kernel takes fewer queries than keys for the last ones.
            out = self.kernels.flash_attn_func(q, k, v, **self.options)
            return out
        flat = (x.flatten(0, 1) for x in (q, k, v))  # [B * T, heads, D]
        out = self.kernels.flash_attn_varlen_func(*flat, *self.documents, **self.options)
        return out.view_as(q)


def require_flash() -> Any:
    """The package.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module("flash_attn")
    except ImportError as error:
        raise UserError(
            f"attention: 'flash' found, which needs the package flash-attn ({error}); "
            "install it, or choose sdpa or flex"
        ) from None


def document_borders(document_ids: Tensor, queries: int) -> tuple[Tensor, Tensor]:
    """Where documents begin in the rows laid end to end, among the queries and among the keys.

    Args:
        document_ids: [B, T], non-decreasing within a row.
        queries: The last Q of a row's tokens are queries.

    Returns:
        int32 [documents + 1] each, from 0 to B * Q and to B * T; a document that lies before the
        queries has none.
    """
    begins = torch.ones_like(document_ids, dtype=torch.bool)  # every row begins one
    begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    keys = torch.cat((starts, starts.new_tensor([document_ids.numel()])))
    length = document_ids.shape[1]
    before = (keys % length - (length - queries)).clamp(min=0)
    return (keys // length * queries + before).to(torch.int32), keys.to(torch.int32)
