"""What a sliding-window layer's attention costs, forward and backward.

    python benchmarks/run.py attention

Ours computes blocks of queries against the keys near them; the peer is torch's own
scaled_dot_product_attention with the window as a mask over all pairs. The row "8k to 16k" compares
ours at 16384 tokens with ours at 8192: a ratio of 1 is a cost in proportion to the length, and
1 / 1.1 is 2.2 times the cost for twice the tokens. Times are CPU seconds of one thread, which other
work on the machine disturbs little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from comparison import compare
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from olmoflow.model.attention import attend
from olmoflow.model.attention.sdpa import visible

WINDOW, HEADS, HEAD_DIM = 512, 4, 64
ROUNDS = 5
GROWTH = "window 512, 8k to 16k"
LIMITS = {GROWTH: {"ratio": 1 / 1.1}}


def run() -> list[dict[str, Any]]:
    """One row for the growth with length, one per length beside torch's masked kernel."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [_row(GROWTH, _ours(16_384), _ours(8192), "olmoflow")]
        for length in (2048, 4096, 8192):
            case = f"window {WINDOW}, {length} tokens"
            rows.append(_row(case, _ours(length), _masked(length), "torch"))
    finally:
        torch.set_num_threads(threads)
    return rows


Step = Callable[[], float]
"""Does a forward and backward pass and returns tokens per second."""


def _row(case: str, ours: Step, peer: Step, peer_name: str) -> dict[str, Any]:
    ours(), peer()  # warm up
    pairs = [(ours(), peer()) for _ in range(ROUNDS)]
    mine, theirs = zip(*pairs, strict=True)
    return compare(case, mine, theirs, peer_name, "tokens/s")


def _ours(length: int) -> Step:
    return _step(length, lambda q, k, v: attend(q, k, v, window=WINDOW))


def _masked(length: int) -> Step:
    positions = torch.arange(length)
    mask = visible(positions[:, None], positions, WINDOW)

    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)

    return _step(length, compute)


def _step(length: int, compute: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Step:
    shape = (1, length, HEADS, HEAD_DIM)
    q, k, v = (torch.randn(shape, requires_grad=True) for _ in range(3))
    towards = torch.randn(shape)

    def step() -> float:
        start = time.process_time()
        torch.autograd.grad(compute(q, k, v), (q, k, v), towards)
        return length / (time.process_time() - start)

    return step
