"""What everything that answers conversations understands.

An `Engine` speaks token ids, a chat endpoint messages. Whoever only wants an answer to a
conversation, be it for training data or for a judge's verdict, speaks to this protocol over both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from olmoflow.inference.engine import FinishReason
from olmoflow.inference.sampling import Sampling
from olmoflow.tokens.chat.conversation import Message


@dataclass(frozen=True)
class Question:
    """A conversation whose next turn is the assistant's.

    Attributes:
        messages: At least one; the last is the user's or the environment's.
        max_new_tokens: Of the answer, at most.
        sampling: How its tokens are chosen.
        seed: Fixes what is sampled, as far as the speaker can promise that: our engines do,
            endpoints try to.
    """

    messages: tuple[Message, ...]
    max_new_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0


@dataclass(frozen=True)
class Answer:
    """What was said.

    Attributes:
        text: The assistant's turn, thinking included, without the tokens that close it.
        tokens: How many were generated; None where a server does not say.
        finish_reason: ``stop`` at its end, ``length`` where the limit cut it.
    """

    text: str
    tokens: int | None
    finish_reason: FinishReason


@dataclass(frozen=True)
class Failure:
    """Why this one question has no answer, in one line."""

    reason: str


@dataclass(frozen=True)
class Unaskable(Failure):
    """Why this question cannot be put to this speaker: for what its conversation holds.

    It says nothing of how well the speaker answers, so it is counted apart.
    """


Reply = Answer | Failure


@runtime_checkable
class Speaker(Protocol):
    """A model that answers conversations."""

    def answer(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Answer questions, many at a time.

        Yields:
            The number of a question and its reply, each once, in any order.

        Raises:
            UserError: The speaker as a whole cannot answer: it is not there, refuses the key, or
                has no such model. What concerns one question is a `Failure` of that question.
        """
        ...

    def close(self) -> None:
        """Free what the speaker holds; it cannot be used any more."""
        ...
