"""Rotary position embedding (arXiv 2104.09864) in the half-rotation layout, and YaRN.

A head's dimension i and i + head_dim/2 form the pair that turns by `position * frequency_i`.
Tables and rotation are fp32 whatever the activations' dtype.
"""

import math
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from olmoflow.model.config import YaRN

Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of the tokens at hand, each [T, head_dim / 2], fp32."""


class RotaryTable(nn.Module):
    """Cosines and sines of every position up to `max_length`, and further where that is asked for.

    The tables are a function of the arguments, so a move to another device computes them anew and
    a cast leaves them in fp32. That is what lets a model built on the meta device, or one cast to
    bf16 as a whole, rotate correctly.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, head_dim: int, max_length: int, theta: float, yarn: YaRN | None) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.max_length = max_length
        self.theta = theta
        self.yarn = yarn
        self._fill(torch.get_default_device())

    def forward(self, start: int, length: int, device: torch.device) -> Rotation:
        """The rotation of positions `start` to `start + length`, on the device."""
        # Packed documents may fill a row that is longer than any of them.
        if longer := start + length > self.max_length:
            self.max_length = start + length
        if longer or self.cos.device != device:  # weights assigned to a meta model never moved it
            self._fill(device)
        return self.cos[start : start + length], self.sin[start : start + length]

    def _fill(self, device: torch.device) -> None:
        cos, sin = self._tables(device)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def _tables(self, device: torch.device) -> Rotation:
        if device.type == "meta":
            # There are no values, and for an arange of none PyTorch imports its compiler.
            empty = torch.empty(self.max_length, self.head_dim // 2, device=device)
            return empty, empty.clone()
        frequencies, amplitude = _frequencies(self.head_dim, self.theta, self.yarn, device)
        positions = torch.arange(self.max_length, dtype=torch.float32, device=device)
        angles = positions[:, None] * frequencies
        return angles.cos() * amplitude, angles.sin() * amplitude

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        target = fn(self.cos[:0]).device
        if target != self.cos.device or self.cos.is_meta:
            self._fill(target)
        return self


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turns each head of x [B, T, H, head_dim] by its token's position; same shape and dtype."""
    cos, sin = (table[:, None, :] for table in rotation)  # [T, 1, head_dim / 2]
    first, second = x.float().chunk(2, dim=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return torch.cat(turned, dim=-1).to(x.dtype)


def _frequencies(
    head_dim: int, theta: float, yarn: YaRN | None, device: torch.device
) -> tuple[Tensor, float]:
    """Radians per token of each pair, and the factor on cosine and sine."""
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device)
    frequencies = 1.0 / theta ** (pairs / head_dim)
    if yarn is None:
        return frequencies, 1.0

    def pair_that_turns(times: float) -> float:
        # theta^(-2i/d) * original = 2 pi * times, solved for i (YaRN paper, section 3.2)
        turns = yarn.original_max_position / (2 * math.pi * times)
        return head_dim * math.log(turns) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(yarn.beta_fast)), 0)
    high = min(math.ceil(pair_that_turns(yarn.beta_slow)), head_dim - 1)
    index = torch.arange(head_dim // 2, dtype=torch.float32, device=device)
    slowed = ((index - low) / max(high - low, 1e-3)).clamp(0, 1)
    frequencies = frequencies * (1 - slowed) + frequencies / yarn.factor * slowed
    return frequencies, 0.1 * math.log(yarn.factor) + 1.0
