"""What a run with adapters is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from olmoflow.errors import UserError

Base = Literal["float32", "bfloat16", "nf4"]


@dataclass(frozen=True)
class LoRA:
    """LoRA (arXiv 2106.09685), and with ``base=nf4`` QLoRA (arXiv 2305.14314).

    A matrix W is frozen, and ``W + alpha / rank · B A`` takes its place; B begins at zero.

    Args:
        rank: Columns of B and rows of A.
        alpha: The product's weight is ``alpha / rank``.
        dropout: Share of the adapter's inputs that are set to zero in training.
        targets: Patterns of the names of the layers that get an adapter.
        base: How the frozen matrices are kept; of those that get no adapter (embedding and LM head)
            nf4 keeps bfloat16. Norms stay float32.
        offload: Keep the frozen matrices of adapted layers in main memory and fetch each when it is
            needed, in both passes.

    Raises:
        UserError: A value is impossible.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: Sequence[str] = ("blocks.*.attention.*_proj", "blocks.*.feed_forward.*_proj")
    base: Base = "bfloat16"
    offload: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))  # lists come from configs
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise UserError(f"adapter.rank={self.rank}: expected a positive whole number")
        if self.alpha <= 0:
            raise UserError(f"adapter.alpha={self.alpha}: expected a number above 0")
        if not 0 <= self.dropout < 1:
            raise UserError(f"adapter.dropout={self.dropout}: expected a share from 0 to below 1")
        if not self.targets:
            raise UserError("adapter.targets=[]: expected patterns such as blocks.*.attention.*")
        if self.base not in get_args(Base):
            known = ", ".join(get_args(Base))
            raise UserError(f"adapter.base={self.base}: expected one of {known}")

    @property
    def scale(self) -> float:
        """The weight of the product."""
        return self.alpha / self.rank
