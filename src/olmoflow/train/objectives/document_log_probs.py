"""What a model thinks of whole documents: the summed log-probability of their learnt tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from olmoflow.model import Olmo3
from olmoflow.train.linear_cross_entropy import IGNORE
from olmoflow.train.linear_log_probs import linear_log_probs
from olmoflow.train.objectives.objective import Batch


class DocumentLogProbs(NamedTuple):
    """One entry a document of a micro-batch, in their order.

    Attributes:
        total: Sum of the log-probabilities of its targets, fp32 [documents], in nats.
        targets: How many there are, int64 [documents].
    """

    total: Tensor
    targets: Tensor

    @property
    def mean(self) -> Tensor:
        """Log-probability per target, fp32 [documents]."""
        return self.total / self.targets


def document_log_probs(
    model: Olmo3, batch: Batch, documents: int, chunk_tokens: int = 1024
) -> DocumentLogProbs:
    """Score packed documents; prompts, which are no targets, cost no logits.

    Args:
        model: Differentiable in its parameters.
        batch: ``input_ids``, ``labels`` and ``document_ids``, each [1, T]; the ids count the
            documents from 0, and every one has a target.
        documents: How many there are.
        chunk_tokens: Targets whose logits exist at a time.
    """
    hidden = model.hidden_states(batch["input_ids"], batch["document_ids"])[0]
    labels, ids = batch["labels"][0], batch["document_ids"][0]
    learnt = (labels != IGNORE).nonzero().squeeze(1)
    log_probs = linear_log_probs(
        hidden[learnt], model.lm_head.weight, labels[learnt], chunk=chunk_tokens
    )
    targets = torch.bincount(ids[learnt], minlength=documents)
    # Documents lie one after the other. Unlike index_add, this adds in the same order every time.
    total = torch.segment_reduce(log_probs, "sum", lengths=targets, initial=0.0)
    return DocumentLogProbs(total, targets)
