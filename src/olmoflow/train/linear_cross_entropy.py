"""LM head and cross-entropy in one, chunk by chunk: the logits of the batch never exist at once.

For V = 100k and 16k tokens the fp32 logits and their gradient would take 13 GB. Here a chunk's
logits are made, reduced to loss and gradient in place, multiplied back, and forgotten; so the
forward pass costs three matrix products per chunk and the backward pass a multiplication. Rows that
are no targets need none of it, see `target_rows`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from olmoflow.train.target_rows import chunks, gradient_of

IGNORE = -100


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    z_loss: float = 0.0,
    chunk: int = 1024,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Summed cross-entropy of ``hidden @ weight.T`` and the summed z-loss.

    The z-loss is ``z_loss · logsumexp²`` (PaLM, section 5). Both sums run over the targets.

    Args:
        hidden: [N, D]; the products run in its dtype, softmax statistics in fp32.
        weight: [V, D].
        labels: [N] int64; -100 is no target.
        z_loss: Weight of the z-loss.
        chunk: Rows whose logits exist at a time.
        rows: [M] int64, ascending; no others are targets, and only of these are logits made. None:
            of all.

    Returns:
        The two sums, fp32 scalars; only ``cross-entropy + z-loss`` together may be
        differentiated, which is what adding them does.
    """
    loss, z = _LinearCrossEntropy.apply(hidden, weight, labels, z_loss, chunk, rows)
    return loss, z


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        z_loss: float,
        chunk: int,
        rows: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        cast = weight.to(hidden.dtype)
        wants, wants_weight = any(ctx.needs_input_grad[:2]), ctx.needs_input_grad[1]
        grad_hidden = gradient_of(hidden, rows)
        # A frozen LM head's would be the largest tensor of all.
        grad_weight = torch.zeros_like(weight if wants_weight else weight[:0], dtype=torch.float32)
        totals = torch.zeros(2, dtype=torch.float32, device=hidden.device)
        for _, here in chunks(len(hidden), chunk, rows):
            h, target = hidden[here], labels[here]
            counts = (target != IGNORE).float()
            index = target.clamp(min=0)[:, None]
            logits = (h @ cast.T).float()
            picked = logits.gather(1, index).squeeze(1)
            # One pass over the logits, row by row in the cache; the rest follows from it in place.
            log_p = logits.log_softmax(1)
            nll = -log_p.gather(1, index).squeeze(1)
            lse = picked + nll
            totals[0] += (nll * counts).sum()
            totals[1] += z_loss * (lse.square() * counts).sum()
            if not wants:
                continue
            # d/dlogits of (lse - picked + z·lse²) = softmax·(1 + 2 z lse) - onehot
            p = log_p.exp_()
            p *= ((1 + 2 * z_loss * lse) * counts)[:, None]
            p.scatter_add_(1, index, -counts[:, None])
            p = p.to(hidden.dtype)
            grad_hidden[here] = p @ cast
            if wants_weight:
                grad_weight += (p.T @ h).float()
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return totals[0], totals[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        scale = grads[0]
        return (
            grad_hidden * scale.to(grad_hidden.dtype),
            (grad_weight * scale).to(ctx.weight_dtype) if ctx.needs_input_grad[1] else None,
            None,
            None,
            None,
            None,
        )
