"""Next-token prediction: cross-entropy and z-loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from olmoflow.model import Olmo3
from olmoflow.train.linear_cross_entropy import IGNORE, linear_cross_entropy
from olmoflow.train.objectives.objective import Batch, Counts, LossTerms
from olmoflow.train.target_rows import TARGET_ROWS, find_target_rows


@dataclass(frozen=True)
class NextTokenPrediction:
    """Cross-entropy of the next token, plus a z-loss that keeps the logits' scale in place.

    Args:
        z_loss: Weight of ``logsumexp²``; Olmo 3's base stages take 1e-5.
        chunk_tokens: Targets whose logits exist at a time.
    """

    z_loss: float = 1e-5
    chunk_tokens: int = 1024

    watched: ClassVar[str] = "CE loss"
    counts: ClassVar[Counts] = "tokens"

    def count(self, batch: Batch) -> int:
        """Targets in the micro-batch, and labels below `IGNORE`, which only count."""
        return int((batch["labels"] != IGNORE).sum())

    def prepare(self, batch: Batch) -> Batch:
        """Say where there are targets, unless they are everywhere."""
        rows = find_target_rows(batch["labels"])
        return batch if len(rows) == batch["labels"].numel() else {**batch, TARGET_ROWS: rows}

    def __call__(self, model: Olmo3, batch: Batch) -> LossTerms:
        """Sums over the targets; ``input_ids`` and ``labels`` are [B, T]."""
        hidden = model.hidden_states(batch["input_ids"], batch.get("document_ids"))
        cross_entropy, z_loss = linear_cross_entropy(
            hidden.flatten(0, 1),
            model.lm_head.weight,
            batch["labels"].flatten().clamp(min=IGNORE),
            z_loss=self.z_loss,
            chunk=self.chunk_tokens,
            rows=batch.get(TARGET_ROWS),
        )
        metrics = {"CE loss": cross_entropy.detach(), "Z loss": z_loss.detach()}
        if self.z_loss:
            metrics["Z loss unscaled"] = metrics["Z loss"] / self.z_loss
        return LossTerms(cross_entropy + z_loss, metrics)
