"""SkipStepAdamW: AdamW that sits out a step whose loss or gradient norm is far off.

The rule is OLMo-core's, used for every Olmo 3 run: of the last 128 losses and gradient norms, once
64 are known, a step counts only if neither lies more than 6 standard deviations above the mean of
those before it. A skipped step changes neither weights, moments, weight decay nor step count, but
its values enter the history. Beyond that rule, a step whose loss or norm is not finite is skipped
at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

_LOSSES, _NORMS, _SEEN = "loss_history", "grad_norm_history", "steps_seen"


class SkipStepAdamW(AdamW):
    """Fused AdamW with the skip-step rule, decided on the device without a host sync.

    Before `step`, the trainer hands over the all-reduced loss and gradient norm with `observe`.

    Args:
        params: Parameters or groups.
        lr: Peak learning rate.
        betas: Decay of the first and second moments.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled weight decay.
        window: How many values are remembered.
        sigma: How many standard deviations are far off.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        window: int = 128,
        sigma: float = 6.0,
    ) -> None:
        super().__init__(
            params,
            lr=lr,
            betas=(betas[0], betas[1]),
            eps=eps,
            weight_decay=weight_decay,
            fused=True,
        )
        self.window, self.sigma = window, sigma
        device = self.param_groups[0]["params"][0].device
        # In param_groups from the start: that is what checkpoints keep.
        self.param_groups[0][_LOSSES] = torch.zeros(window, device=device)
        self.param_groups[0][_NORMS] = torch.zeros(window, device=device)
        self.param_groups[0][_SEEN] = torch.zeros((), dtype=torch.int64, device=device)
        self.step_skipped: Tensor = torch.zeros((), device=device)

    @torch.no_grad()
    def observe(self, loss: Tensor, grad_norm: Tensor) -> None:
        """Enter the step's global loss and gradient norm, and decide whether it counts."""
        history = self.param_groups[0]
        seen = history[_SEEN]
        skip = torch.zeros((), dtype=torch.bool, device=seen.device)
        for name, value in ((_LOSSES, loss), (_NORMS, grad_norm)):
            value = value.detach().to(seen.device, torch.float32)
            skip |= self._far_off(history[name], seen, value) | ~torch.isfinite(value)
            # A value that is not finite would poison mean and deviation for 128 steps.
            slot = (seen % self.window).reshape(1)
            mean = history[name].sum() / seen.clamp(1, self.window)
            kept = torch.where(torch.isfinite(value), value, mean)
            history[name].index_copy_(0, slot, kept.reshape(1))
        seen += 1
        self.step_skipped = skip.float()

    def _far_off(self, history: Tensor, seen: Tensor, value: Tensor) -> Tensor:
        known = torch.arange(self.window, device=history.device) < seen
        count = known.sum().clamp(min=2)
        mean = (history * known).sum() / count
        variance = (((history - mean) * known) ** 2).sum() / (count - 1)
        return (seen >= self.window // 2) & (value - mean > self.sigma * variance.sqrt())

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update, unless the observed step is to be skipped."""
        self.found_inf = self.step_skipped  # the fused kernel leaves everything as it was at 1
        return super().step(closure)


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups: the input embedding is not decayed, everything else, norms too, is.

    What is frozen is in neither; a frozen embedding leaves one group.
    """
    embedding: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            (embedding if name.endswith("embeddings.weight") else rest).append(parameter)
    groups: list[dict[str, Any]] = [{"params": rest}]
    return [*groups, {"params": embedding, "weight_decay": 0.0}] if embedding else groups
