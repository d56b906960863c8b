"""Activation checkpointing: less memory for more arithmetic.

What is checkpointed keeps its inputs only and is computed again in the backward pass. The forward
pass of a module is replaced in place, so names of parameters and state-dict keys stay as they are,
and FSDP's hooks, which gather the parameters, stay outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Literal, get_args

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from olmoflow.errors import UserError
from olmoflow.model import Olmo3

Mode = Literal["none", "full", "modules", "budget"]
_KEY = "runtime.activation_checkpointing"


@dataclass(frozen=True)
class ActivationCheckpointing:
    """What is computed again instead of kept.

    Args:
        mode: ``none``; ``full``: every block; ``modules``: what ``modules`` names; ``budget``:
            torch.compile decides within each block.
        modules: Patterns of module names, such as ``blocks.*.feed_forward``.
        budget: Share of a block's activations that may be kept, 0 to 1.

    Raises:
        UserError: The arguments do not fit the mode.
    """

    mode: Mode = "none"
    modules: Sequence[str] = ()
    budget: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            known = ", ".join(get_args(Mode))
            raise UserError(f"{_KEY}.mode={self.mode}: expected one of {known}")
        if bool(self.modules) != (self.mode == "modules"):
            raise UserError(
                f"{_KEY}.modules={list(self.modules)}: expected patterns such as "
                "blocks.*.feed_forward with mode=modules, and [] with every other mode"
            )
        if (self.budget is not None) != (self.mode == "budget"):
            raise UserError(
                f"{_KEY}.budget={self.budget}: expected a number from 0 to 1 with mode=budget, and "
                "null with every other mode"
            )
        if self.budget is not None and not 0 <= self.budget <= 1:
            raise UserError(f"{_KEY}.budget={self.budget}: expected a number from 0 to 1")

    def check(self, model: Olmo3, *, compiled: bool) -> None:
        """See that it can be applied.

        Raises:
            UserError: A pattern names no module of the model, or a budget is to be kept by a
                compiler that is not used.
        """
        if self.mode == "budget" and not compiled:
            raise UserError(f"{_KEY}.mode=budget: torch.compile decides; expected compile=true")
        names = [name for name, _ in model.named_modules()]
        for pattern in self.modules:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise UserError(
                    f"{_KEY}.modules: no module is named {pattern}; expected patterns such as "
                    "blocks.*.feed_forward or blocks.*.attention"
                )

    def apply(self, model: Olmo3, *, draws: bool = False) -> None:
        """Replace the forward passes; before the model is sharded or compiled.

        Args:
            model: Its blocks, or modules in them, are changed in place.
            draws: It draws random numbers (dropout), which have to be drawn again alike.
        """
        if self.mode == "budget":
            assert self.budget is not None
            torch._functorch.config.activation_memory_budget = self.budget
        if self.mode == "full":
            chosen = list(model.blocks)
        else:
            chosen = [
                module
                for name, module in model.named_modules()
                if any(fnmatchcase(name, pattern) for pattern in self.modules)
            ]
        for module in chosen:
            _checkpoint(module, draws)


def _checkpoint(module: nn.Module, draws: bool) -> None:
    again = partial(checkpoint, module.forward, use_reentrant=False, preserve_rng_state=draws)
    module.forward = again
