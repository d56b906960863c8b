"""How likely tokens are, without a row of logits ever lying in memory as a whole.

A vocabulary has tens of thousands of rows, so the logits of a few hundred tokens are larger than
any cache, and each pass over them (maximum, exponentials, sum) waits for memory. Here the
vocabulary is cut into parts; the logits of a part are looked at while they lie in the cache.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from olmoflow.inference.native.compiled import kernels
from olmoflow.inference.native.compiled.products import product
from olmoflow.inference.native.panels import COLUMNS, Panels
from olmoflow.inference.native.weights import Matrix

Ints = NDArray[np.int64]
_LOGITS = 2**20
"""That exist at the same time: 4 MiB of fp32."""
_NARROWEST = 1024
"""Rows of the vocabulary at a time, at least, so that the product is worth its name."""


def likelihoods_of(
    hidden: Tensor, head: Matrix, vocab_size: int, rows: Ints, tokens: Ints
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Log-probabilities of tokens.

    Args:
        hidden: [N, d_model].
        head: [vocab_size, d_model].
        vocab_size: Ids of tokens are below it.
        rows: [M], of `hidden` that predict.
        tokens: [M], what they predict.

    Returns:
        Natural logarithms of the probabilities, and whether each token is the likeliest, [M].
    """
    count = len(hidden)
    most, total = torch.full((count,), -torch.inf), torch.zeros(count)
    likeliest = torch.zeros(count, dtype=torch.int64)
    found = np.empty(len(rows), np.float32)
    width = max(_NARROWEST, _LOGITS // count // COLUMNS * COLUMNS)
    room = hidden.new_empty(count * min(width, vocab_size))
    for first in range(0, vocab_size, width):
        size = min(width, vocab_size - first)
        logits = room[: count * size].view(count, size)
        end = first + size
        part = head.part(first, end) if isinstance(head, Panels) else head[first:end]
        product(hidden, part, logits)
        kernels.accumulate((logits.dtype,), count, logits, size, first, most, total, likeliest)
        here = ((tokens >= first) & (tokens < first + size)).nonzero()[0]
        places = torch.from_numpy(rows[here]), torch.from_numpy(tokens[here] - first)
        found[here] = logits[places].float().numpy()
    logarithms = (most + total.log()).numpy()
    return found - logarithms[rows], likeliest.numpy()[rows] == tokens
