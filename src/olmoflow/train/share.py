"""A rank's share of an optimizer step, made ready on the CPU.

Whatever has to be known of a batch before it is computed is counted here, before it goes to the
device: on a GPU each count would wait until everything before it has been computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from olmoflow.model.attention.context import ContextParallel
from olmoflow.train.objectives import Batch, Objective
from olmoflow.train.target_rows import count_head_rows


class StepCounts(NamedTuple):
    """Of an optimizer step, or of a rank's part of it.

    Attributes:
        targets: What the loss is a mean over.
        tokens: All of them.
        head_tokens: Those that the LM head sees.
    """

    targets: int
    tokens: int
    head_tokens: int


class Share(NamedTuple):
    """What a rank computes of an optimizer step.

    Attributes:
        micro_batches: Its own part of them, where ranks share sequences.
        counts: Of its own part.
        shared_targets: Of this rank and those that share its sequences.
    """

    micro_batches: list[Batch]
    counts: StepCounts
    shared_targets: int


def make_share(
    micro_batches: Sequence[Batch],
    objective: Objective,
    context: ContextParallel | None,
    device: torch.device,
) -> Share:
    """Cut and count the micro-batches of a step.

    Args:
        micro_batches: On the CPU.
        objective: Says what counts as a target.
        context: The ranks that share the sequences.
        device: Where they will be computed.
    """
    shared = sum(objective.count(batch) for batch in micro_batches)
    own = [_own_part(batch, context) for batch in micro_batches]
    targets = sum(objective.count(batch) for batch in own)
    own = [objective.prepare(batch) for batch in own]
    if device.type == "cuda":
        own = [_pinned(batch) for batch in own]
    tokens = sum(batch["input_ids"].numel() for batch in own)
    counts = StepCounts(targets, tokens, sum(map(count_head_rows, own)))
    return Share(own, counts, shared)


def _own_part(batch: Batch, context: ContextParallel | None) -> Batch:
    """The tokens that are this rank's where ranks share sequences; documents stay whole."""
    if context is None:
        return batch
    whole = {"document_ids"}
    return {k: v if k in whole else context.own_part(v) for k, v in batch.items()}


def _pinned(batch: Batch) -> Batch:
    """In memory from which a GPU fetches while the CPU goes on."""
    return {name: values.pin_memory() for name, values in batch.items()}
