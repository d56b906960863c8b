"""What a verifier says of an answer, and what every verifier can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

Outcome = Literal["scored", "no_answer", "timeout", "error"]
"""``scored``: the score stands. ``no_answer``: the text holds nothing that could be an answer; its
score is 0. ``timeout`` and ``error``: the verifier could not tell; the score is 0 as well, and
whoever reports it counts them apart from wrong answers."""


@dataclass(frozen=True)
class Answer:
    """A text to judge.

    Attributes:
        text: What the model said.
        reference: What the verifier compares with: an answer, tests, constraints; plain values.
    """

    text: str
    reference: Any


@dataclass(frozen=True)
class Verdict:
    """What is said of one answer.

    Attributes:
        score: From 0 to 1.
        outcome: How it came about.
        extracted: The part of the text that was judged, where it is not the whole.
        detail: One line for people: what failed.
    """

    score: float
    outcome: Outcome = "scored"
    extracted: str | None = None
    detail: str | None = None


@runtime_checkable
class Verifier(Protocol):
    """Judges answers."""

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer, in their order. Never raises for what an answer says.

        Raises:
            UserError: A reference is not what this verifier expects.
        """
        ...

    def close(self) -> None:
        """End the processes that it started."""
        ...
