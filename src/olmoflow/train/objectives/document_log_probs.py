"""What a model thinks of whole documents: the summed log-probability of their learnt tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from olmoflow.model import Olmo3
from olmoflow.train.linear_log_probs import linear_log_probs
from olmoflow.train.objectives.objective import Batch
from olmoflow.train.target_rows import TARGET_ROWS, find_target_rows

_DOCUMENT_TARGETS = "document_targets"


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


def prepare_documents(batch: Batch, documents: int) -> Batch:
    """Find the targets of packed documents, and how many each has.

    On a GPU both would wait for all that was asked of it before: do it before the batch is moved.

    Args:
        batch: As for `document_log_probs`.
        documents: How many there are.
    """
    rows = find_target_rows(batch["labels"])
    counts = torch.bincount(batch["document_ids"].flatten()[rows], minlength=documents)
    return {**batch, TARGET_ROWS: rows, _DOCUMENT_TARGETS: counts}


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
    if _DOCUMENT_TARGETS not in batch:
        batch = prepare_documents(batch, documents)
    hidden = model.hidden_states(batch["input_ids"], batch["document_ids"])[0]
    log_probs = linear_log_probs(
        hidden, model.lm_head.weight, batch["labels"][0], chunk_tokens, batch[TARGET_ROWS]
    )
    targets = batch[_DOCUMENT_TARGETS]
    # Documents lie one after the other. Unlike index_add, this adds in the same order every time;
    # `unsafe` spares reading the lengths back to see whether they sum up to what they do sum up to.
    total = torch.segment_reduce(log_probs, "sum", lengths=targets, initial=0.0, unsafe=True)
    return DocumentLogProbs(total, targets)
