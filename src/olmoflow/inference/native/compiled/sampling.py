"""Choosing tokens in one pass over each row of logits, where nothing has to be sorted."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from olmoflow.inference.native.compiled import kernels


def sample(
    logits: Tensor, temperature: Tensor | None, uniforms: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What `olmoflow.inference.sampling.choose` does without top-k and top-p.

    Args:
        logits: [B, V], in the model's dtype.
        temperature: [B] fp32, 0 is greedy; None: all are.
        uniforms: [B] fp32, in [0, 1).

    Returns:
        Tokens and their log-probabilities before temperature, [B] each.
    """
    rows, vocabulary = logits.shape
    temperature = torch.zeros(rows) if temperature is None else temperature
    tokens, logprobs = torch.empty(rows, dtype=torch.int64), torch.empty(rows)
    arguments = logits, vocabulary, temperature, uniforms, tokens, logprobs
    kernels.sample((logits.dtype,), rows, *arguments)
    return tokens.numpy(), logprobs.numpy()
