"""Matrix products with weights in an order that is good for the processor.

oneDNN brings bf16 weights into its own order at each product, which takes about a fifth of the time
where 64 tokens are multiplied. In a good order from the start they are a copy beside the model's
own parameters, so that this is for models that are small for the memory. The order is that of our
own products (`tiles.py`) where the processor has what these need, else for bf16 oneDNN's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from olmoflow.inference.native.compiled.multiplying import multiply, multiply_gated
from olmoflow.inference.native.compiled.tiles import ROWS, has_tiles
from olmoflow.inference.native.memory import available_memory
from olmoflow.inference.native.panels import COLUMNS, Panels, to_panels
from olmoflow.inference.native.weights import Matrix, Pack
from olmoflow.model import Olmo3Config

_BATCH = 64
"""Tokens of a product for which oneDNN's order is chosen; it serves any number."""
_SHARE = 8
"""The copy takes no more than this part of the free memory."""


def reordering(config: Olmo3Config, device: torch.device, dtype: torch.dtype) -> Pack | None:
    """What brings a matrix [out, in] into a good order; None where that does not pay."""
    if device.type != "cpu":
        return None
    if config.num_parameters * dtype.itemsize * _SHARE > available_memory():
        return None
    if has_tiles(dtype) and config.d_model % 2 == 0 and config.ffn_hidden_size % COLUMNS == 0:
        return to_panels
    return _reorder if dtype == torch.bfloat16 and _multiplies_bf16() else None


def product(x: Tensor, weight: Matrix, out: Tensor | None = None) -> Tensor:
    """[N, in], [out, in] -> [N, out], whatever stands for the matrix; into `out`, if given."""
    if isinstance(weight, Panels):
        out = x.new_empty((len(x), weight.outputs)) if out is None else out
        arguments = _readable(x), weight.inputs, weight.numbers, weight.outputs, out
        multiply((x.dtype,), len(x), *arguments)
        return out
    if weight.is_mkldnn:
        done: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return done
    return linear(x, weight) if out is None else torch.mm(x, weight.t(), out=out)


def gated_product(x: Tensor, gate_up: Panels) -> Tensor:
    """SwiGLU with the product before it: [N, in], [2 * F, in] -> [N, F]."""
    out = x.new_empty((len(x), gate_up.outputs // 2))
    arguments = _readable(x), gate_up.inputs, gate_up.numbers, out.shape[1], out
    multiply_gated((x.dtype,), len(x), *arguments)
    return out


def _readable(x: Tensor) -> Tensor:
    """With the rows that a tile reads."""
    x = x.contiguous()
    return x if len(x) >= ROWS else pad(x, (0, 0, 0, ROWS - len(x)))


def _reorder(matrix: Tensor) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(matrix.contiguous(), _BATCH)
    return packed


def _multiplies_bf16() -> bool:
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
