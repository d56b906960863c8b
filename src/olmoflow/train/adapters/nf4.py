"""NF4, the 4-bit normal float of QLoRA (arXiv 2305.14314, section 3 and appendix E).

A block of 64 numbers of a row is divided by its largest magnitude, and each number becomes the
nearest of 16 levels, which are quantiles of a normal distribution; two levels share a byte. The
magnitudes are kept in bfloat16 (4.25 bits a number; the paper quantizes them a second time, to
4.13, for a tenth of a GiB in 7B).

Codes and magnitudes are plain tensors, so the optimizer, checkpoints and the plan's tensors without
data need to know nothing of them. What is multiplied is a dense matrix, made when it is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 64
"""Numbers that share a magnitude."""

LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


def quantize(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and magnitudes of a matrix.

    Args:
        matrix: [O, I], I a multiple of `BLOCK`.

    Returns:
        [O, I / 2] uint8, the first of two numbers in the high half; [O, I / BLOCK] bfloat16.
    """
    rows = len(matrix)
    blocks = matrix.reshape(rows, -1, BLOCK).float()
    # Rounded first: numbers are divided by what they will be multiplied with.
    magnitudes = blocks.abs().amax(-1).to(torch.bfloat16)
    blocks = blocks / magnitudes.float().clamp(min=torch.finfo(torch.float32).tiny)[..., None]
    levels = torch.tensor(LEVELS, device=matrix.device)
    nearest = torch.bucketize(blocks, (levels[1:] + levels[:-1]) / 2, out_int32=True)
    pairs = nearest.to(torch.uint8).reshape(rows, -1, 2)
    return pairs[..., 0] << 4 | pairs[..., 1], magnitudes


def dequantize(codes: Tensor, magnitudes: Tensor, dtype: torch.dtype) -> Tensor:
    """The dense matrix: [O, I / 2] uint8, [O, I / BLOCK] -> [O, I] in the dtype."""
    levels = torch.tensor(LEVELS, device=codes.device, dtype=dtype)
    # A byte stands for two levels: one look-up in a table of 256 pairs.
    pairs = torch.stack((levels.repeat_interleave(16), levels.repeat(16)), dim=1)
    dense = pairs.index_select(0, codes.flatten().int())  # [O · I / 2, 2]
    dense = dense.view(*magnitudes.shape, BLOCK)
    return dense.mul_(magnitudes[..., None].to(dtype)).flatten(1)
