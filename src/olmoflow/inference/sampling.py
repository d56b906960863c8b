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

    def choose(self, logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Choose a token of each row.

        Args:
            logits: [B, V], fp32.
            generator: Source of randomness, on the device of the logits.

        Returns:
            [B] int64.
        """
        if self.temperature == 0:
            return logits.argmax(-1)
        probabilities = self.distribution(logits)
        return torch.multinomial(probabilities, 1, generator=generator).squeeze(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        """What is sampled from at a temperature above 0: [B, V] to [B, V]."""
        logits = logits / self.temperature
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        probabilities = logits.softmax(-1)
        if self.top_p < 1:
            ranked, order = probabilities.sort(descending=True, stable=True)
            # The token that crosses the threshold belongs to the nucleus.
            outside = ranked.cumsum(-1) - ranked >= self.top_p
            outside = torch.zeros_like(outside).scatter(-1, order, outside)
            probabilities = probabilities.masked_fill(outside, 0.0)
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        return probabilities
