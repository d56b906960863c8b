"""Short answers compared as text: exact match and F1 of words, as SQuAD does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from olmoflow.errors import UserError
from olmoflow.verifiers import extraction, normalization
from olmoflow.verifiers.verdict import Answer, Verdict


class ExactMatchVerifier:
    """1 for an answer that is spelled as a reference, else 0.

    A reference is a text, or a list of texts, each of which is right.

    Args:
        extract: Rules of `extraction` in the order in which they are tried.
        normalize: Case, punctuation, articles and spaces do not count.
    """

    def __init__(self, extract: Sequence[str] = ("whole",), normalize: bool = True) -> None:
        self._rules = extraction.rules(extract)
        self._normalize = normalize

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer."""
        return [judged(answer, self._rules, self._score) for answer in answers]

    def close(self) -> None:
        """Nothing runs."""

    def _score(self, found: str, gold: str) -> float:
        if self._normalize:
            return float(normalization.squad(found) == normalization.squad(gold))
        return float(found.strip() == gold.strip())


class F1Verifier:
    """The F1 of the answer's words and the reference's; of several references the best.

    Args:
        extract: Rules of `extraction` in the order in which they are tried.
    """

    def __init__(self, extract: Sequence[str] = ("whole",)) -> None:
        self._rules = extraction.rules(extract)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer."""
        return [judged(answer, self._rules, f1) for answer in answers]

    def close(self) -> None:
        """Nothing runs."""


def judged(
    answer: Answer, rules: Sequence[extraction.Rule], score: Callable[[str, str], float]
) -> Verdict:
    """The best score over the references."""
    golds = texts(answer.reference)
    found = extraction.extract(extraction.without_thinking(answer.text), rules)
    if found is None:
        return Verdict(0.0, "no_answer", detail="no answer found in the text")
    return Verdict(max(score(found, gold) for gold in golds), extracted=found)


def f1(found: str, gold: str) -> float:
    """Harmonic mean of precision and recall over words (Rajpurkar et al. 2016)."""
    mine, theirs = normalization.squad(found).split(), normalization.squad(gold).split()
    if not mine or not theirs:
        return float(mine == theirs)
    common = (Counter(mine) & Counter(theirs)).total()
    return 2 * common / (len(mine) + len(theirs))


def texts(reference: Any) -> list[str]:
    """The right answers.

    Raises:
        UserError: Neither text nor a list of texts.
    """
    given = reference if isinstance(reference, list | tuple) else [reference]
    if not given or not all(isinstance(one, str) for one in given):
        raise UserError(f"reference: found {reference!r:.80}, expected text or a list of texts")
    return list(given)
