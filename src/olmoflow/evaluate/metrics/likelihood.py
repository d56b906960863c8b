"""Metrics of choices by their log-likelihoods: OLMES's five normalisations, bits per byte.

Definitions: OLMES (arXiv 2406.08446, section 4.2) and its code. Lengths are those of the whole
continuation, its leading space included. Of equal choices the first is taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A continuation and how likely it is.

    Attributes:
        continuation: With its leading space.
        sum_logits: Sum of the natural log-probabilities of its tokens.
        num_tokens: Its tokens.
        sum_logits_uncond: The same sum where the context is only ``Answer:``.
    """

    continuation: str
    sum_logits: float
    num_tokens: int
    sum_logits_uncond: float | None = None

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token."""
        return self.sum_logits / max(self.num_tokens, 1)

    @property
    def per_char(self) -> float:
        """Log-probability for each character."""
        return self.sum_logits / max(len(self.continuation), 1)

    @property
    def bits_per_byte(self) -> float:
        """Negative log2-probability for each UTF-8 byte."""
        return bits_per_byte(self.sum_logits, self.continuation)


def bits_per_byte(sum_logits: float, continuation: str) -> float:
    """Negative log2-probability for each UTF-8 byte of a continuation, leading space included."""
    return -sum_logits / math.log(2) / max(len(continuation.encode("utf-8")), 1)


def choice_metrics(choices: Sequence[Choice], gold: int) -> dict[str, float]:
    """All metrics of one question.

    Args:
        choices: All choices, in their order.
        gold: Number of the right one.

    Returns:
        ``acc_*``: 1 if the right choice scores highest, else 0; ``acc_uncond`` only where every
        choice has its unconditional log-probability. ``*_corr``: values of the right choice.
    """
    right = choices[gold]
    keys: dict[str, Sequence[float]] = {
        "acc_raw": [choice.sum_logits for choice in choices],
        "acc_per_token": [choice.per_token for choice in choices],
        "acc_per_char": [choice.per_char for choice in choices],
        "acc_per_byte": [-choice.bits_per_byte for choice in choices],
    }
    uncond = [choice.sum_logits_uncond for choice in choices]
    if all(value is not None for value in uncond):
        keys["acc_uncond"] = [
            choice.sum_logits - (choice.sum_logits_uncond or 0.0) for choice in choices
        ]
    accuracies = {name: float(_argmax(values) == gold) for name, values in keys.items()}
    return {**accuracies, **gold_metrics(right)}


def gold_metrics(right: Choice) -> Mapping[str, float]:
    """What is said of the gold answer alone."""
    return {
        "sum_logits_corr": right.sum_logits,
        "logits_per_token_corr": right.per_token,
        "logits_per_char_corr": right.per_char,
        "bits_per_byte_corr": right.bits_per_byte,
    }


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
