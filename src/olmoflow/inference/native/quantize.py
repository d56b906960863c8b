"""Weights in 8 or 4 bits, for a model that would not fit or whose weights take long to fetch.

Only weights are rounded: int8 with one scale for each output, int4 with one for each `GROUP` inputs
of each output. Products run in the model's dtype. The matrices of the blocks are packed; embedding,
LM head and norms stay, since rounding them costs most and saves least.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from olmoflow.errors import UserError
from olmoflow.inference.native.weights import Pack

Quantization = Literal["none", "int8", "int4"]

GROUP = 32
"""Inputs that share a scale in int4."""


def packer(kind: str, device: torch.device, dtype: torch.dtype) -> Pack | None:
    """What packs a matrix [out, in] that lies on the device; None where nothing is packed.

    Raises:
        UserError: The kind is unknown, torchao is not installed, or it cannot do this here.
    """
    if kind not in get_args(Quantization):
        raise UserError(f"quantize={kind}: expected one of {', '.join(get_args(Quantization))}")
    if kind == "none":
        return None
    config = _int8() if kind == "int8" else _int4(device, dtype)
    quantize = _torchao("quantization").quantize_

    def pack(matrix: Tensor) -> Tensor:
        outputs, inputs = matrix.shape
        if kind == "int4" and inputs % GROUP:
            raise UserError(
                f"quantize=int4: a matrix with {inputs} inputs found, "
                f"a multiple of {GROUP} expected"
            )
        layer = nn.Linear(inputs, outputs, bias=False, device="meta")
        layer.weight = nn.Parameter(matrix, requires_grad=False)
        quantize(layer, config)
        return layer.weight.detach()

    return pack


def _int8() -> Any:
    return _torchao("quantization").Int8WeightOnlyConfig(set_inductor_config=False)


def _int4(device: torch.device, dtype: torch.dtype) -> Any:
    if device.type == "cpu":
        module = _torchao("prototype.quantization.int4")
        return module.PrototypeInt4WeightOnlyConfig(group_size=GROUP, set_inductor_config=False)
    if device.type == "cuda" and dtype == torch.bfloat16:
        return _torchao("quantization").Int4WeightOnlyConfig(
            group_size=GROUP,
            int4_packing_format="tile_packed_to_4d",
            set_inductor_config=False,
        )
    raise UserError(
        f"quantize=int4: {str(dtype).removeprefix('torch.')} on {device.type} found; expected a "
        "CPU, or bfloat16 on CUDA (or int8)"
    )


def _torchao(module: str) -> Any:
    # Its import tells everybody that torch 2.14 no longer needs one of its registrations.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    try:
        return importlib.import_module(f"torchao.{module}")
    except ImportError as error:
        raise UserError(
            f"quantize: needs the package torchao ({error}); pip install 'olmoflow[quantize]'"
        ) from None
