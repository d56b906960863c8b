"""Delta learning: a strong and a weak model answer, and the strong one's answer is preferred.

What teaches is the difference between the two, not the quality of the better one (Olmo 3 report,
section 4.3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from olmoflow.inference.chat import Failure, Unaskable
from olmoflow.synthesize.prompt import Prompt
from olmoflow.synthesize.recipe import Ask, Pair, Recipe, Removed, Spoken, answers
from olmoflow.tokens.chat.conversation import Message

STRONG, WEAK = "strong", "weak"


@dataclass(frozen=True)
class DeltaLearning:
    """Makes the recipe of a prompt."""

    steps = ("answers",)

    def __call__(self, prompt: Prompt) -> Recipe:
        """Ask both."""
        return strong_and_weak(prompt, prompt.messages, {})

    def told(self) -> list[str]:
        """Nothing but the prompts."""
        return []

    def close(self) -> None:
        """Nothing was started."""


def strong_and_weak(
    prompt: Prompt, messages: tuple[Message, ...], metadata: Mapping[str, Any]
) -> Recipe:
    """Have both answer a conversation.

    Args:
        prompt: That the conversation was made of.
        messages: What they answer.
        metadata: For the pair's row.
    """
    replies = yield [Ask(STRONG, messages), Ask(WEAK, messages)]
    for speaker, reply in zip((STRONG, WEAK), replies, strict=True):
        if isinstance(reply, Failure):
            return no_answer(prompt, speaker, reply)
    better, worse = answers(replies)
    chosen, rejected = Spoken(STRONG, better), Spoken(WEAK, worse)
    return Pair(prompt, messages, chosen, rejected, dict(metadata))


def no_answer(prompt: Prompt, speaker: str, failure: Failure) -> Removed:
    """The end of a recipe whose question was not answered, or could not be put."""
    if isinstance(failure, Unaskable):
        return Removed(prompt, "answers", failure.reason, prompt.messages[-1].content)
    return Removed(prompt, "answers", f"no answer from {speaker}", failure.reason)
