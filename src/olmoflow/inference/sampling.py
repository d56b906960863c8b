"""From logits to a token: temperature, top-k, top-p (nucleus; arXiv 1904.09751)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from olmoflow.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: Divides the logits; 0 takes the likeliest token.
        top_p: Only the likeliest tokens that together reach this probability are considered.
        top_k: Only so many of the likeliest are considered; None: all.

    Raises:
        UserError: A value is out of its range.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0:
            raise UserError(f"temperature={self.temperature}: expected 0 (greedy) or more")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p}: expected more than 0 and at most 1")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k={self.top_k}: expected at least 1, or null for all tokens")


@dataclass(frozen=True)
class SamplingRows:
    """The settings of a batch, one of each row.

    Attributes:
        temperature: [B] fp32; 0 is greedy. None: all are.
        top_p: [B] fp32; 1 considers all. None: all do.
        top_k: [B] int64; the vocabulary's size considers all. None: all do.
    """

    temperature: Tensor | None = None
    top_p: Tensor | None = None
    top_k: Tensor | None = None


def choose(logits: Tensor, rows: SamplingRows, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Choose a token of each row.

    Args:
        logits: [B, V] fp32.
        rows: How.
        uniforms: [B] fp32, in [0, 1): where in the cumulated distribution the token lies.

    Returns:
        The tokens, [B] int64, and the natural logarithms of their probabilities before any of the
        settings, [B] fp32.
    """
    if rows.temperature is None:
        best, tokens = logits.max(-1)
        return tokens, best - logits.logsumexp(-1)
    cumulated = distribution(logits, rows).cumsum(-1)
    drawn = torch.searchsorted(cumulated, (uniforms * cumulated[:, -1])[:, None], right=True)
    tokens = torch.where(rows.temperature == 0, logits.argmax(-1), drawn[:, 0])
    chosen = logits.gather(-1, tokens[:, None])[:, 0]
    return tokens, chosen - logits.logsumexp(-1)


def distribution(logits: Tensor, rows: SamplingRows) -> Tensor:
    """What is sampled from, [B, V]; of greedy rows the unchanged distribution."""
    assert rows.temperature is not None
    temperature = torch.where(rows.temperature == 0, 1.0, rows.temperature)
    probabilities = (logits / temperature[:, None]).softmax(-1)
    if rows.top_k is None and rows.top_p is None:
        return probabilities
    ranked, order = probabilities.sort(descending=True, stable=True)
    if rows.top_k is not None:
        rank = torch.arange(ranked.shape[-1], device=ranked.device)
        ranked = ranked.masked_fill(rank >= rows.top_k[:, None], 0.0)
        ranked = ranked / ranked.sum(-1, keepdim=True)
    if rows.top_p is not None:
        # The token that crosses the threshold belongs to the nucleus.
        ranked = ranked.masked_fill(ranked.cumsum(-1) - ranked >= rows.top_p[:, None], 0.0)
    kept = torch.zeros_like(ranked).scatter(-1, order, ranked)
    return kept / kept.sum(-1, keepdim=True)
