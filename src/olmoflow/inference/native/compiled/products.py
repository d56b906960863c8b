"""Matrix products with weights that lie as oneDNN multiplies with them.

For bf16 oneDNN brings the weights into its own order at each product, which takes about a fifth of
the time where 64 tokens are multiplied. In that order from the start they are a copy beside the
model's own parameters, so that this is for models that are small for the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from olmoflow.inference.native.memory import available_memory
from olmoflow.inference.native.weights import Pack
from olmoflow.model import Olmo3Config

_BATCH = 64
"""Tokens of a product for which the order is chosen; it serves any number."""
_SHARE = 8
"""The copy takes no more than this part of the free memory."""


def reordering(config: Olmo3Config, device: torch.device, dtype: torch.dtype) -> Pack | None:
    """What brings a matrix [out, in] into oneDNN's order; None where that does not pay."""
    if device.type != "cpu" or dtype != torch.bfloat16 or not _multiplies_bf16():
        return None
    if config.num_parameters * dtype.itemsize * _SHARE > available_memory():
        return None
    return _reorder


def product(x: Tensor, weight: Tensor) -> Tensor:
    """[N, in], [out, in] -> [N, out], whatever stands for the matrix."""
    if weight.is_mkldnn:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return out
    return linear(x, weight)


def _reorder(matrix: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _BATCH)
    return packed


def _multiplies_bf16() -> bool:
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
