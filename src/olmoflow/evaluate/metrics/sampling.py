"""Metrics of several samples of one question: pass@k and maj@k."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that of k samples at least one is right, estimated without bias from n.

    ``1 - C(n - c, k) / C(n, k)`` (Chen et al., arXiv 2107.03374, equation 1), exactly.

    Args:
        n: Samples drawn.
        c: Right ones among them.
        k: Samples allowed; at most n.

    Raises:
        ValueError: There are fewer samples than k, or more right ones than samples.
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} of {n} samples with {c} right; expected 1 ≤ k ≤ n and c ≤ n")
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def majority_at_k(answers: Sequence[str | None], correct: Sequence[float], k: int) -> float:
    """Whether the most frequent answer among the first k samples is right (self-consistency).

    Wang et al. (arXiv 2203.11171); of equally frequent answers the one said first counts, as in
    OLMES. Samples without an answer do not vote; if none has one, the vote is wrong.

    Args:
        answers: Each sample's answer in a form in which equal answers are equal texts.
        correct: Each sample's score.
        k: Samples that vote; at most as many as there are.

    Raises:
        ValueError: There are fewer samples than k.
    """
    if not 1 <= k <= len(answers) or len(answers) != len(correct):
        raise ValueError(f"maj@{k} of {len(answers)} answers with {len(correct)} scores")
    votes = Counter(answer for answer in answers[:k] if answer is not None)
    if not votes:
        return 0.0
    ((elected, _),) = votes.most_common(1)
    return float(correct[answers.index(elected)])
