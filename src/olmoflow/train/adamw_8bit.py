"""AdamW whose moments take a byte each: 2 bytes of state a parameter instead of 8.

The moments are kept as in "8-bit Optimizers via Block-wise Quantization" (arXiv 2110.02861): a
block of 256 numbers is divided by its largest magnitude, and each becomes the nearest of 256 levels
of a dynamic exponent. Between two steps only the bytes and a magnitude per block exist; a step
makes them numbers again, one parameter at a time.

torchao's optimizer of the same kind cannot be used here: it compiles its step, knows no skipped
steps, and keeps its state in tensors of its own class, which our checkpoints would have to
unpickle. Its levels are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from olmoflow.errors import UserError
from olmoflow.train.optimizer import SkipStepAdamW

BLOCK = 256
"""Numbers that share a magnitude."""

SMALLEST = 4096
"""Tensors with fewer numbers, or not of whole blocks, keep fp32 moments, as in bitsandbytes."""

_MOMENTS = ("exp_avg", "exp_avg_sq")


class AdamW8bit(SkipStepAdamW):
    """`SkipStepAdamW` with 8-bit moments. Arguments as there.

    Raises:
        UserError: A parameter is sharded over ranks.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take parameters in, those that are whole."""
        super().add_param_group(param_group)
        if any(isinstance(parameter, DTensor) for parameter in self.param_groups[-1]["params"]):
            raise UserError(
                "optimizer=adamw_8bit: several ranks found; expected one, for its moments are not "
                "sharded"
            )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update, unless the observed step is to be skipped."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(new_state(parameter))
        kept = 1.0 - self.step_skipped
        state["step"] += kept
        grad, (beta1, beta2) = parameter.grad.float(), group["betas"]  # type: ignore[union-attr]
        first = _read(state, "exp_avg", True).lerp_(grad, 1 - beta1)
        second = _read(state, "exp_avg_sq", False).lerp_(grad.square(), 1 - beta2)
        skipped = self.step_skipped.bool()
        _write(state, "exp_avg", first, skipped, signed=True)
        _write(state, "exp_avg_sq", second, skipped, signed=False)
        # From the moments as they are before rounding, which is what the next step reads.
        corrections = 1 - beta1 ** state["step"], (1 - beta2 ** state["step"]).sqrt()
        change = first.div_(second.sqrt_().div_(corrections[1]).add_(group["eps"]))
        change.div_(corrections[0]).add_(parameter.float(), alpha=group["weight_decay"])
        # A skipped step may hold numbers that are not finite, which 0 would not undo.
        parameter.add_(torch.where(skipped, 0.0, change.mul_(-group["lr"])))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore; torch casts all state to the parameters' dtype, in which bytes are exact."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            for name in _MOMENTS:
                if f"{name}_codes" in state:
                    state[f"{name}_codes"] = state[f"{name}_codes"].to(torch.uint8)


def new_state(parameter: Tensor) -> dict[str, Tensor]:
    """The state of a parameter before its first step; zeros."""
    state = {"step": torch.zeros((), device=parameter.device)}
    for name in _MOMENTS:
        if parameter.numel() < SMALLEST or parameter.numel() % BLOCK:
            state[name] = torch.zeros_like(parameter, dtype=torch.float32)
        else:
            state[f"{name}_codes"] = torch.zeros_like(parameter, dtype=torch.uint8)
            blocks = parameter.numel() // BLOCK
            state[f"{name}_magnitudes"] = torch.zeros(blocks, device=parameter.device)
    return state


def _read(state: dict[str, Tensor], name: str, signed: bool) -> Tensor:
    """A moment as fp32 numbers, not those of the state itself."""
    if name in state:
        return state[name].clone()
    codes = state[f"{name}_codes"]
    numbers = levels(signed, codes.device)[codes.int()].view(-1, BLOCK)
    return numbers.mul_(state[f"{name}_magnitudes"][:, None]).view(codes.shape)


def _write(
    state: dict[str, Tensor], name: str, moment: Tensor, skipped: Tensor, *, signed: bool
) -> None:
    """Put a moment into the state, unless the step is skipped."""
    if name in state:
        state[name].copy_(torch.where(skipped, state[name], moment))
        return
    codes, magnitudes = quantize(moment, signed)
    for part, new in (("codes", codes), ("magnitudes", magnitudes)):
        old = state[f"{name}_{part}"]
        old.copy_(torch.where(skipped, old, new))


def quantize(moment: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
    """Codes, uint8 of the moment's shape, and magnitudes, [N / BLOCK] fp32."""
    blocks = moment.reshape(-1, BLOCK)
    magnitudes = blocks.abs().amax(1).clamp_(min=1e-12)
    of = levels(signed, moment.device)
    nearest = torch.bucketize(blocks / magnitudes[:, None], (of[1:] + of[:-1]) / 2, out_int32=True)
    return nearest.to(torch.uint8).view(moment.shape), magnitudes


@cache
def levels(signed: bool, device: torch.device) -> Tensor:
    """The 256 levels, ascending: seven decades from 1e-7 to 1, each with twice those below it.

    A decade's levels are the middles of equal parts of its upper nine tenths (section 2.2); with a
    sign its bit costs every decade half its levels. Zero and one come in addition.
    """
    found = [0.0, 1.0]
    for decade in range(7):
        parts = 2**decade if signed else 2 ** (decade + 1)
        edges = torch.linspace(0.1, 1.0, parts + 1)
        middles = ((edges[1:] + edges[:-1]) / 2 * 10.0 ** (decade - 6)).tolist()
        found += [*middles, *(-m for m in middles)] if signed else middles
    return torch.tensor(sorted(found), device=device)
