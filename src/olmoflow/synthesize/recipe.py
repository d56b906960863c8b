"""What is done for one prompt, written as a generator.

A recipe yields what it wants to ask, gets the replies back, asks again if it likes, and ends with a
pair or with the reason why there is none. So a recipe of several turns reads from top to bottom,
while `rounds` runs those of all prompts side by side and keeps every answer.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from olmoflow.inference.chat import Answer, Failure, Reply
from olmoflow.synthesize.prompt import Prompt
from olmoflow.tokens.chat.conversation import Message


@dataclass(frozen=True)
class Ask:
    """A question of a recipe.

    Attributes:
        speaker: Who is asked, by the name that the command gave it.
        messages: The conversation so far.
        seed: Distinguishes several answers to the same conversation.
    """

    speaker: str
    messages: tuple[Message, ...]
    seed: int = 0


@dataclass(frozen=True)
class Spoken:
    """One side of a pair.

    Attributes:
        speaker: Who said it.
        answer: What.
        score: Where something scored it.
    """

    speaker: str
    answer: Answer
    score: float | None = None


@dataclass(frozen=True)
class Pair:
    """Two answers to one conversation, the better one known.

    Attributes:
        prompt: What it was made of.
        messages: What both answer: the prompt, perhaps with turns written before its last.
        chosen: The better answer.
        rejected: The worse.
        metadata: What else a row says: scores, the kind of context.
    """

    prompt: Prompt
    messages: tuple[Message, ...]
    chosen: Spoken
    rejected: Spoken
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Removed:
    """A prompt of which nothing came.

    Attributes:
        prompt: That was asked.
        step: Where it was lost.
        reason: Why; few different ones, since they are counted.
        shown: The text that it was about, for the report.
    """

    prompt: Prompt
    step: str
    reason: str
    shown: str = ""


Recipe = Generator[Sequence[Ask], Sequence[Reply], Pair | Removed]


class Pipeline(Protocol):
    """Makes the recipes of all prompts."""

    @property
    def steps(self) -> tuple[str, ...]:
        """Where its recipes may lose a prompt, in their order."""
        ...

    def __call__(self, prompt: Prompt) -> Recipe:
        """The recipe of a prompt."""
        ...

    def told(self) -> list[str]:
        """Texts of files on which the questions depend."""
        ...

    def close(self) -> None:
        """End what it started."""
        ...


def first_failure(replies: Sequence[Reply]) -> Failure | None:
    """The first of them that is no answer."""
    return next((reply for reply in replies if isinstance(reply, Failure)), None)


def answers(replies: Sequence[Reply]) -> list[Answer]:
    """The replies, none of which is a failure."""
    return [reply for reply in replies if isinstance(reply, Answer)]
