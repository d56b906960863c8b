"""Where a micro-batch has targets: only there does the LM head compute logits.

Of conversations 2 to 30 % of the tokens are learnt, and the head is a large share of a small model.
The rows are found on the CPU, where batches are made: on a GPU nobody knows how many there are
until everything before has been computed. They travel with the batch as ``target_rows``.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

TARGET_ROWS = "target_rows"


def find_target_rows(labels: Tensor) -> Tensor:
    """Places in the flattened labels that are a token, int64 [M], ascending."""
    rows: Tensor = (labels.flatten() >= 0).nonzero().squeeze(1)
    return rows


def count_head_rows(batch: dict[str, Tensor]) -> int:
    """Tokens of a micro-batch that the LM head sees."""
    rows = batch.get(TARGET_ROWS)
    return batch["labels"].numel() if rows is None else len(rows)


def chunks(count: int, size: int, rows: Tensor | None) -> Iterator[tuple[slice, slice | Tensor]]:
    """Cut the chosen rows of a matrix into chunks.

    Args:
        count: Rows of the matrix.
        size: Rows of a chunk, at most.
        rows: The chosen ones, int64 [M]; None: all.

    Yields:
        Where a chunk's rows come among the chosen ones, and where they stand in the matrix.
    """
    for start in range(0, count if rows is None else len(rows), size):
        place = slice(start, start + size)
        yield place, place if rows is None else rows[place]


def gradient_of(hidden: Tensor, rows: Tensor | None) -> Tensor:
    """Room for the gradient of a matrix of which the chosen rows will be filled in."""
    return torch.empty_like(hidden) if rows is None else torch.zeros_like(hidden)
