"""NF4 against torchao's, whose levels have four digits and whose magnitudes eight bits."""

import torch
from torchao.quantization import NF4Tensor

from olmoflow.train.adapters.nf4 import BLOCK, LEVELS, dequantize, quantize


def matrix():
    return torch.randn(64, 512, generator=torch.Generator().manual_seed(2)) * 0.02


def test_it_agrees_with_torchao():
    theirs = NF4Tensor.from_tensor(matrix(), BLOCK, 256).to(torch.float32)
    ours = dequantize(*quantize(matrix()), torch.float32)
    step = 2 * matrix().reshape(64, -1, BLOCK).abs().amax(-1).repeat_interleave(BLOCK, 1)
    # Within the magnitudes' rounding; a number half-way between two levels may fall either way.
    near = (ours - theirs).abs() <= 0.01 * step
    assert near.float().mean() > 0.995
    errors = [(x - matrix()).square().mean() for x in (ours, theirs)]
    assert errors[0] <= 1.01 * errors[1]


def test_levels_come_back_exactly():
    levels = torch.tensor(LEVELS).repeat(BLOCK // 16)
    blocks = torch.stack((levels, levels.flip(0), 0.5 * levels))
    assert torch.equal(dequantize(*quantize(blocks), torch.float32), blocks)


def test_a_block_of_zeros_stays_zero():
    zeros = torch.zeros(2, BLOCK)
    assert torch.equal(dequantize(*quantize(zeros), torch.float32), zeros)
