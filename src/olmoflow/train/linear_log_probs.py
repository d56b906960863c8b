"""Log-probability of each token from the LM head, chunk by chunk, with a gradient for each.

`linear_cross_entropy` knows in its forward pass how much every token counts, and so can forget the
logits at once. A preference does not: how much a token counts follows from both answers of its
pair. So the backward pass makes each chunk's logits again; neither pass ever holds [tokens, vocab].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


def linear_log_probs(hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int = 1024) -> Tensor:
    """``log softmax(hidden @ weight.T)`` at the targets.

    Args:
        hidden: [N, D]; the products run in its dtype, softmax statistics in fp32.
        weight: [V, D].
        targets: [N] int64, each in range(V).
        chunk: Rows whose logits exist at a time.

    Returns:
        [N], fp32; may be differentiated with any weight for each.
    """
    log_probs: Tensor = _LinearLogProbs.apply(hidden, weight, targets, chunk)
    return log_probs


class _LinearLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int) -> Tensor:
        cast = weight.to(hidden.dtype)
        picked = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        lse = torch.empty_like(picked)
        for rows in _chunks(len(hidden), chunk):
            logits = (hidden[rows] @ cast.T).float()
            lse[rows] = logits.logsumexp(1)
            picked[rows] = logits.gather(1, targets[rows, None]).squeeze(1)
        ctx.save_for_backward(hidden, weight, targets, lse)
        ctx.chunk = chunk
        return picked - lse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, lse = ctx.saved_tensors
        cast, (grad,) = weight.to(hidden.dtype), grads
        grad_hidden = torch.empty_like(hidden)
        # A frozen LM head's would be the largest tensor of all.
        learns = ctx.needs_input_grad[1]
        grad_weight = torch.zeros_like(weight if learns else weight[:0], dtype=torch.float32)
        for rows in _chunks(len(hidden), ctx.chunk):
            h, scale = hidden[rows], grad[rows, None]
            # d/dlogits of (picked - lse) = onehot - softmax
            d = (h @ cast.T).float().sub_(lse[rows, None]).exp_().mul_(-scale)
            d = d.scatter_add_(1, targets[rows, None], scale).to(hidden.dtype)
            grad_hidden[rows] = d @ cast
            if learns:
                grad_weight += (d.T @ h).float()
        return grad_hidden, grad_weight.to(weight.dtype) if learns else None, None, None


def _chunks(rows: int, chunk: int) -> Iterator[slice]:
    for start in range(0, rows, chunk):
        yield slice(start, start + chunk)
