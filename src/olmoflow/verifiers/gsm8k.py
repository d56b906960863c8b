"""Grade-school arithmetic: the last number counts (GSM8K, Cobbe et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from olmoflow.errors import UserError
from olmoflow.verifiers import extraction, normalization
from olmoflow.verifiers.verdict import Answer, Verdict

_PLACES = ("hashes", "boxed", "the_answer_is", "whole")


class GSM8KVerifier:
    """1 if the number that the text ends in equals the reference, else 0.

    Commas, dollar signs and decimals that change nothing do not matter. A reference is a number,
    or a solution of GSM8K that ends in ``#### 72``.

    Args:
        strict: The number must follow ``####``, ``The answer is`` or stand in a box; otherwise the
            last number of the text counts.
    """

    def __init__(self, strict: bool = False) -> None:
        self._places = extraction.rules(_PLACES[:-1] if strict else _PLACES)

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer."""
        return [self._verdict(answer) for answer in answers]

    def close(self) -> None:
        """Nothing runs."""

    def _verdict(self, answer: Answer) -> Verdict:
        gold = gold_number(answer.reference)
        text = extraction.without_thinking(answer.text)
        for rule in self._places:
            place = rule(text)
            found = extraction.last_number(place) if place else None
            if found is not None:
                return Verdict(float(normalization.number(found) == gold), extracted=found)
        return Verdict(0.0, "no_answer", detail="no number found in the text")


def gold_number(reference: Any) -> Fraction:
    """The number that is right.

    Raises:
        UserError: There is none.
    """
    if type(reference) in (int, float) and math.isfinite(reference):
        return Fraction(str(reference))
    text = extraction.hashes(reference) or reference if isinstance(reference, str) else ""
    found = normalization.number(text)
    if found is None:
        raise UserError(
            f"reference: found {reference!r:.80}, expected a number or a solution with '#### 72'"
        )
    return found
