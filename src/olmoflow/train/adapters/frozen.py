"""A frozen matrix: dense, in 4 bits, or in main memory.

Only its input gets a gradient, for which the matrix is needed again. Where that takes a copy, the
copy is forgotten after the forward pass and made again in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from olmoflow.train.adapters.nf4 import BLOCK, dequantize, quantize
from olmoflow.train.adapters.settings import LoRA


class FrozenMatrix(nn.Module):
    """[O, I] without a gradient, made dense when it is needed.

    Args:
        rows: O.
        columns: I.
        adapter: Says how it is kept.
    """

    def __init__(self, rows: int, columns: int, adapter: LoRA) -> None:
        super().__init__()
        self.offload = adapter.offload
        self.quantized = adapter.base == "nf4"
        if self.quantized:
            shapes = {"codes": (rows, columns // 2), "magnitudes": (rows, columns // BLOCK)}
            dtypes = {"codes": torch.uint8, "magnitudes": torch.bfloat16}
        else:
            shapes = {"values": (rows, columns)}
            dtypes = {"values": getattr(torch, adapter.base)}
        for name, shape in shapes.items():
            kept = torch.empty(shape, dtype=dtypes[name])
            self.register_parameter(name, nn.Parameter(kept, requires_grad=False))

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        kept = tuple(self.parameters())
        if not self.quantized and not self.offload:
            return linear(x, kept[0].to(x.dtype))
        first, second = (*kept, None)[:2]
        out: Tensor = _MadeAgain.apply(x, self.offload, first, second)
        return out

    def dense(self, dtype: torch.dtype) -> Tensor:
        """The matrix itself, where it is kept."""
        return _dense(tuple(self.parameters()), dtype)

    def place(self, device: torch.device) -> None:
        """Allocate it: on the device, or in main memory if it is to stay there."""
        self.to_empty(device=torch.device("cpu") if self.offload else device)
        if self.offload and device.type == "cuda":
            for parameter in self.parameters():
                parameter.data = parameter.data.pin_memory()  # copies from there run by themselves

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Leaves what is to stay in main memory there: Lightning moves the whole model."""
        stays = self.offload and not any(parameter.is_meta for parameter in self.parameters())
        return self if stays else super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fill(self, matrix: Tensor, device: torch.device) -> None:
        """Take the numbers of a whole matrix; they are quantized on the device."""
        kept = quantize(matrix.to(device)) if self.quantized else (matrix,)
        for parameter, tensor in zip(self.parameters(), kept, strict=True):
            parameter.copy_(tensor)


class _MadeAgain(torch.autograd.Function):
    """x W^T that keeps what W is made of, and not W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, fetched: bool, first: Tensor, second: Tensor | None) -> Tensor:
        # One argument a tensor: torch.compile cannot follow a variable number of them.
        ctx.save_for_backward(first, second)
        ctx.fetched = fetched
        return linear(x, _dense_at(first, second, x, fetched))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (first, second) = grads, ctx.saved_tensors
        return grad @ _dense_at(first, second, grad, ctx.fetched), None, None, None


def _dense_at(first: Tensor, second: Tensor | None, x: Tensor, fetched: bool) -> Tensor:
    """The matrix on the device and in the dtype of what it is multiplied with."""
    kept: tuple[Tensor, ...] = (first,) if second is None else (first, second)
    if fetched:
        kept = tuple(tensor.to(x.device, non_blocking=True, copy=True) for tensor in kept)
    return _dense(kept, x.dtype)


def _dense(kept: tuple[Tensor, ...], dtype: torch.dtype) -> Tensor:
    return kept[0].to(dtype) if len(kept) == 1 else dequantize(kept[0], kept[1], dtype)
