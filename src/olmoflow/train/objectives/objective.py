"""The contract between the trainer, which knows no algorithm, and the algorithms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from olmoflow.model import Olmo3

Batch = dict[str, Tensor]
"""A micro-batch: ``input_ids`` and ``labels`` [B, T], and what else an objective reads. With
``target_rows`` [M] the LM head sees only these of its tokens (see `target_rows`)."""
Counts = Literal["tokens", "pairs"]


@dataclass
class LossTerms:
    """Sums over the targets of one micro-batch; the trainer divides by the global count.

    Attributes:
        loss_sum: What is differentiated.
        metrics: Detached sums to be reported, by metric name.
    """

    loss_sum: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """``loss(model, batch) -> sums and counts``.

    Attributes:
        watched: The metric by which the optimizer tells a step that went wrong.
        counts: What its targets are.
    """

    watched: ClassVar[str]
    counts: ClassVar[Counts]

    def count(self, batch: Batch) -> int:
        """Targets of a micro-batch; called on the CPU before it is moved to the device."""

    def prepare(self, batch: Batch) -> Batch:
        """The micro-batch with what is best worked out on the CPU; called before it is moved."""

    def __call__(self, model: Olmo3, batch: Batch) -> LossTerms:
        """The sums of a micro-batch, on the device; the same if it was not prepared."""
