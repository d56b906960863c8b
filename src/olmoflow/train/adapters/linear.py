"""An adapted layer: a frozen matrix, and beside it a trained product of two thin ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear

from olmoflow.model.init import named_generator
from olmoflow.train.adapters.frozen import FrozenMatrix
from olmoflow.train.adapters.settings import LoRA


class AdaptedLinear(nn.Module):
    """``x W^T + alpha / rank · dropout(x) A^T B^T``; A is [rank, I], B is [O, rank], both fp32.

    Args:
        in_features: I.
        out_features: O.
        adapter: The settings.

    Attributes:
        enabled: False leaves the frozen matrix alone.
    """

    def __init__(self, in_features: int, out_features: int, adapter: LoRA) -> None:
        super().__init__()
        self.adapter, self.enabled = adapter, True
        self.frozen = FrozenMatrix(out_features, in_features, adapter)
        self.lora_a = nn.Parameter(torch.empty(adapter.rank, in_features))
        self.lora_b = nn.Parameter(torch.empty(out_features, adapter.rank))

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        out: Tensor = self.frozen(x)
        if not self.enabled:
            return out
        if self.adapter.dropout and self.training:
            x = dropout(x, self.adapter.dropout)
        inner = linear(x, self.lora_a.to(x.dtype))
        return out + self.adapter.scale * linear(inner, self.lora_b.to(x.dtype))

    @torch.no_grad()
    def initialise(self, seed: int, name: str) -> None:
        """A uniform as a linear layer's weights, B zero: the model begins as it was."""
        whole = torch.empty(self.lora_a.shape)
        bound = 1 / math.sqrt(whole.shape[1])
        whole.uniform_(-bound, bound, generator=named_generator(seed, f"{name}.lora_a"))
        self.lora_a.copy_(whole)
        self.lora_b.zero_()
