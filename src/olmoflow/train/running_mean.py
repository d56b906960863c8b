"""A weighted mean that grows on the device; the host learns of it only when it asks."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class RunningMean(Metric):
    """The mean of scalars since its reset; those that are no number count as never seen.

    torchmetrics' own ``MeanMetric`` looks for such values on the host, which at every step would
    wait for the GPU. Ranks are not synchronised: what is entered is a sum over all of them already.

    Attributes:
        total: Sum of the weighted values.
        weight: Sum of their weights.
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__(sync_on_compute=False)
        self.add_state("total", torch.zeros(()))
        self.add_state("weight", torch.zeros(()))

    def update(self, value: Tensor, weight: float = 1.0) -> None:
        """Enter a scalar."""
        known = ~value.isnan()
        self.total += torch.where(known, value * weight, 0.0)
        self.weight += known * weight

    def restore(self, total: float, weight: float) -> None:
        """Go on from these."""
        self.total.fill_(total)
        self.weight.fill_(weight)
        self._update_count = int(weight > 0)

    def compute(self) -> Tensor:
        """The mean; no number where there is none."""
        return self.total / self.weight
