"""Log-probability of each token from the LM head, chunk by chunk, with a gradient for each.

`linear_cross_entropy` knows in its forward pass how much every token counts, and so can forget the
logits at once. A preference does not: how much a token counts follows from both answers of its
pair. So the backward pass makes each chunk's logits again; neither pass ever holds [tokens, vocab].
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from olmoflow.train.target_rows import chunks, gradient_of


def linear_log_probs(
    hidden: Tensor, weight: Tensor, targets: Tensor, chunk: int = 1024, rows: Tensor | None = None
) -> Tensor:
    """``log softmax(hidden @ weight.T)`` at the targets.

    Args:
        hidden: [N, D]; the products run in its dtype, softmax statistics in fp32.
        weight: [V, D].
        targets: [N] int64, in range(V) where a row is chosen.
        chunk: Rows whose logits exist at a time.
        rows: [M] int64, ascending: the chosen ones; no logits are made of others. None: all.

    Returns:
        [M], fp32; may be differentiated with any weight for each.
    """
    log_probs: Tensor = _LinearLogProbs.apply(hidden, weight, targets, chunk, rows)
    return log_probs


class _LinearLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        chunk: int,
        rows: Tensor | None,
    ) -> Tensor:
        cast, count = weight.to(hidden.dtype), len(hidden if rows is None else rows)
        picked = torch.empty(count, dtype=torch.float32, device=hidden.device)
        lse = torch.empty_like(picked)
        for place, here in chunks(len(hidden), chunk, rows):
            logits = (hidden[here] @ cast.T).float()
            lse[place] = logits.logsumexp(1)
            picked[place] = logits.gather(1, targets[here][:, None]).squeeze(1)
        ctx.save_for_backward(hidden, weight, targets, lse, rows)
        ctx.chunk = chunk
        return picked - lse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, targets, lse, rows = ctx.saved_tensors
        cast, (grad,) = weight.to(hidden.dtype), grads
        grad_hidden = gradient_of(hidden, rows)
        # A frozen LM head's would be the largest tensor of all.
        learns = ctx.needs_input_grad[1]
        grad_weight = torch.zeros_like(weight if learns else weight[:0], dtype=torch.float32)
        for place, here in chunks(len(hidden), ctx.chunk, rows):
            h, scale = hidden[here], grad[place, None]
            # d/dlogits of (picked - lse) = onehot - softmax
            d = (h @ cast.T).float().sub_(lse[place, None]).exp_().mul_(-scale)
            d = d.scatter_add_(1, targets[here][:, None], scale).to(hidden.dtype)
            grad_hidden[here] = d @ cast
            if learns:
                grad_weight += (d.T @ h).float()
        return grad_hidden, grad_weight.to(weight.dtype) if learns else None, None, None, None
