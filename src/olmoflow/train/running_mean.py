"""A weighted mean that grows on the device; the host learns of it only when it asks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class RunningMean:
    """The mean of scalars since its making; those that are no number count as never seen.

    torchmetrics' ``MeanMetric`` looks for such values on the host, which at every step would wait
    for the GPU.

    Attributes:
        total: Sum of the weighted values.
        weight: Sum of their weights.
    """

    total: Tensor | float = 0.0
    weight: Tensor | float = 0.0

    @torch.no_grad()
    def update(self, value: Tensor, weight: float = 1.0) -> None:
        """Enter a scalar, wherever it is."""
        known = ~value.isnan()
        self.total = self.total + torch.where(known, value * weight, 0.0)
        self.weight = self.weight + known * weight

    @property
    def mean(self) -> float:
        """The mean; no number where there is none. Waits for the device."""
        weight = float(self.weight)
        return float(self.total) / weight if weight else math.nan
