"""Direct preference optimisation: the chosen answer more likely than the rejected one.

All losses are a logistic loss of one margin x for each pair, ``-log σ(β x)``. With π and ref the
summed log-probabilities of an answer under the model and the reference, and |y| its targets:

    dpo        x = (π_c - ref_c) - (π_r - ref_r)                        (arXiv 2305.18290, eq. 7)
    dpo_norm   x = (π_c - ref_c) / |y_c| - (π_r - ref_r) / |y_r|        (arXiv 2411.15124, eq. 6)
    simpo      x = π_c / |y_c| - π_r / |y_r| - γ/β, without a reference (arXiv 2405.14734, eq. 6)
    wpo        dpo's, each pair weighted by exp(π_c / |y_c| + π_r / |y_r|), which is
               not differentiated                                       (arXiv 2406.11827, eq. 3)

To any of them ``chosen_nll`` adds -π_c / |y_c|, weighted (arXiv 2404.19733, eq. 2): a margin may
grow while both answers become less likely, from which short answers suffer first.

Olmo 3 takes dpo_norm with β = 5 (arXiv 2512.13961, appendix A.6.2). Ai2's code differentiates wpo's
weight; the paper, and the code here, do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from olmoflow.errors import UserError
from olmoflow.model import Olmo3
from olmoflow.train.adapters import adapters_off, is_adapted
from olmoflow.train.objectives.document_log_probs import (
    DocumentLogProbs,
    document_log_probs,
    prepare_documents,
)
from olmoflow.train.objectives.objective import Batch, Counts, LossTerms

PreferenceLoss = Literal["dpo", "dpo_norm", "simpo", "wpo"]


class Rewards(NamedTuple):
    """What the answers of each pair are worth, before β: [pairs] each."""

    chosen: Tensor
    rejected: Tensor


@dataclass(frozen=True)
class DirectPreference:
    """A loss over pairs of answers; sums run over pairs.

    Args:
        loss: ``dpo``, ``dpo_norm``, ``simpo`` or ``wpo``, see above.
        beta: How strongly the model is held to the reference: β.
        label_smoothing: Share of pairs that are taken to be the wrong way round (cDPO).
        gamma_beta_ratio: SimPO's target margin over β.
        chosen_nll: Weight of the chosen answer's negative log-probability per token.
        chunk_tokens: Targets whose logits exist at a time.

    Raises:
        UserError: A number is out of its range.
    """

    loss: PreferenceLoss = "dpo_norm"
    beta: float = 5.0
    label_smoothing: float = 0.0
    gamma_beta_ratio: float = 0.3
    chosen_nll: float = 0.0
    chunk_tokens: int = 1024

    watched: ClassVar[str] = "preference loss"
    counts: ClassVar[Counts] = "pairs"

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise UserError(f"method.objective.beta={self.beta}: expected a positive number")
        if not 0 <= self.label_smoothing < 0.5:
            raise UserError(
                f"method.objective.label_smoothing={self.label_smoothing}: expected at least 0 "
                "and less than 0.5"
            )
        if self.chosen_nll < 0:
            raise UserError(f"method.objective.chosen_nll={self.chosen_nll}: expected at least 0")
        if self.chunk_tokens < 1:
            raise UserError(
                f"method.objective.chunk_tokens={self.chunk_tokens}: expected at least 1"
            )

    @property
    def needs_reference(self) -> bool:
        """Whether batches must hold the reference's log-probabilities."""
        return self.loss != "simpo"

    def count(self, batch: Batch) -> int:
        """Pairs in the micro-batch."""
        return len(batch["pairs"])

    def prepare(self, batch: Batch) -> Batch:
        """Say where the targets of both answers are."""
        return prepare_documents(batch, 2 * len(batch["pairs"]))

    def __call__(self, model: Olmo3, batch: Batch) -> LossTerms:
        """Sums over the pairs.

        Args:
            model: The policy.
            batch: One packed row: ``input_ids``, ``labels`` and ``document_ids`` [1, T], where
                document 2i is the chosen and 2i + 1 the rejected answer of pair i; ``pairs`` [P];
                ``reference`` [2P], the summed log-probabilities under the reference; a model with
                adapters does without, for its frozen base is the reference.
        """
        pairs = len(batch["pairs"])
        policy = document_log_probs(model, batch, 2 * pairs, self.chunk_tokens)
        reference = batch.get("reference")
        if reference is None and self.needs_reference and is_adapted(model):
            reference = self._base_log_probs(model, batch)
        rewards = self.rewards(policy, reference)
        losses = self.losses(rewards, policy)
        return LossTerms(losses.sum(), self._metrics(losses, rewards, policy))

    @torch.no_grad()
    def _base_log_probs(self, model: Olmo3, batch: Batch) -> Tensor:
        with adapters_off(model):
            return document_log_probs(
                model, batch, 2 * len(batch["pairs"]), self.chunk_tokens
            ).total

    def rewards(self, policy: DocumentLogProbs, reference: Tensor | None) -> Rewards:
        """Log-ratios to the reference, per token where the loss is length-normalised."""
        if self.loss == "simpo":
            worth = policy.mean
        elif reference is None:
            raise UserError(
                f"method.objective.loss={self.loss}: the data hold no log-probabilities of a "
                "reference; expected data.reference, or loss=simpo"
            )
        else:
            worth = policy.total - reference
            worth = worth / policy.targets if self.loss == "dpo_norm" else worth
        return Rewards(worth[0::2], worth[1::2])

    def losses(self, rewards: Rewards, policy: DocumentLogProbs) -> Tensor:
        """The loss of each pair, [pairs]."""
        margin = rewards.chosen - rewards.rejected
        if self.loss == "simpo":
            margin = margin - self.gamma_beta_ratio
        right, wrong = logsigmoid(self.beta * margin), logsigmoid(-self.beta * margin)
        losses = -(1 - self.label_smoothing) * right - self.label_smoothing * wrong
        if self.loss == "wpo":
            mean = policy.mean.detach()
            losses = losses * (mean[0::2] + mean[1::2]).exp()
        if self.chosen_nll:
            losses = losses - self.chosen_nll * policy.mean[0::2]
        return losses

    def _metrics(
        self, losses: Tensor, rewards: Rewards, policy: DocumentLogProbs
    ) -> dict[str, Tensor]:
        chosen, rejected = (self.beta * each.detach() for each in rewards)
        total, targets = policy.total.detach(), policy.targets.float()
        metrics = {
            self.watched: losses.detach(),
            "reward chosen": chosen,
            "reward rejected": rejected,
            "reward margin": chosen - rejected,
            "reward accuracy": (chosen > rejected).float(),
            "log-prob chosen": total[0::2],
            "log-prob rejected": total[1::2],
            "targets chosen": targets[0::2],
            "targets rejected": targets[1::2],
        }
        return {name: torch.sum(values) for name, values in metrics.items()}
