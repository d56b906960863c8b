"""Pairs of several turns, of which only the last differs.

Before the turn that a strong and a weak model answer stand turns that were written for it (Olmo 3
report, preference data of the Instruct models), in one of four ways:

- ``self_talk``   the strong model answers the prompt and then speaks for the user as well
- ``related``     a related request is made and answered first
- ``paraphrase``  the same request is made in other words and answered first
- ``repeat``      the same request is made and answered first
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from olmoflow.errors import UserError
from olmoflow.inference.chat import Failure, Reply
from olmoflow.synthesize.instruction import Instruction, transcript
from olmoflow.synthesize.prompt import Prompt, draw
from olmoflow.synthesize.recipe import Ask, Recipe, Removed
from olmoflow.synthesize.recipes.delta_learning import STRONG, no_answer, strong_and_weak
from olmoflow.tokens.chat.conversation import Message
from olmoflow.verifiers.extraction import without_thinking

KINDS = ("self_talk", "related", "paraphrase", "repeat")
# Which blank the instruction of a kind has.
BLANKS = {"self_talk": "conversation", "related": "request", "paraphrase": "request"}
_ALL = 1 << 63
_Writing = Generator[Sequence[Ask], Sequence[Reply], str | Removed]


@dataclass(frozen=True)
class MultiTurn:
    """Makes the recipe of a prompt.

    Args:
        shares: How often each kind is drawn, in proportion.
        instructions: What the strong model is told when it writes for the user, by kind.
        turns: Of self-talk: how often the user speaks again.
        seed: Of the choice of a kind.

    Raises:
        UserError: A kind is unknown, or nothing is to be drawn.
    """

    shares: Mapping[str, float]
    instructions: Mapping[str, Instruction]
    turns: int = 1
    seed: int = 0

    steps = ("context", "answers")

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.shares if kind not in KINDS]:
            raise UserError(
                f"pipeline.kinds.{unknown[0]}: no such kind, expected {', '.join(KINDS)}"
            )
        if min(self.shares.values(), default=0) < 0 or not sum(self.shares.values()):
            raise UserError(f"pipeline.kinds={dict(self.shares)}: expected shares of at least 0")
        if self.turns < 1:
            raise UserError(f"pipeline.turns={self.turns}: expected at least 1")

    def __call__(self, prompt: Prompt) -> Recipe:
        """Write the turns before the last, then ask both models."""
        kind = self.kind_of(prompt)
        write = self._talk if kind == "self_talk" else self._before
        context = yield from write(prompt, kind)
        if isinstance(context, Removed):
            return context
        return (yield from strong_and_weak(prompt, context, {"context": kind}))

    def told(self) -> list[str]:
        """What the strong model is told when it writes."""
        return [self.instructions[kind].text for kind in sorted(self.instructions)]

    def close(self) -> None:
        """Nothing was started."""

    def kind_of(self, prompt: Prompt) -> str:
        """The kind that was drawn for a prompt."""
        at = draw(self.seed, "context", prompt.digest) / _ALL * sum(self.shares.values())
        drawn = [kind for kind in KINDS if self.shares.get(kind)]
        for kind in drawn:
            at -= self.shares[kind]
            if at < 0:
                return kind
        return drawn[-1]

    def _talk(
        self, prompt: Prompt, kind: str
    ) -> Generator[Sequence[Ask], Sequence[Reply], tuple[Message, ...] | Removed]:
        context = prompt.messages
        for _ in range(self.turns):
            said = yield from _say(prompt, context)
            if isinstance(said, Removed):
                return said
            context = (*context, Message("assistant", said))
            asked = self.instructions[kind].fill(conversation=transcript(context))
            more = yield from _say(prompt, asked)
            if isinstance(more, Removed):
                return more
            context = (*context, Message("user", more))
        return context

    def _before(
        self, prompt: Prompt, kind: str
    ) -> Generator[Sequence[Ask], Sequence[Reply], tuple[Message, ...] | Removed]:
        *earlier, request = prompt.messages
        first = request.content
        if kind != "repeat":
            told = self.instructions[kind].fill(request=request.content)
            written = yield from _say(prompt, told)
            if isinstance(written, Removed):
                return written
            first = written
        begun = (*earlier, Message("user", first))
        said = yield from _say(prompt, begun)
        if isinstance(said, Removed):
            return said
        return (*begun, Message("assistant", said), request)


def _say(prompt: Prompt, messages: tuple[Message, ...]) -> _Writing:
    """What the strong model says, whole and without its thinking, which is no part of a context."""
    (reply,) = yield [Ask(STRONG, messages)]
    if isinstance(reply, Failure):
        return no_answer(prompt, STRONG, reply)
    text = without_thinking(reply.text).strip()
    if reply.finish_reason == "length":
        return Removed(prompt, "context", "a turn was cut at its limit", text)
    if not text:
        return Removed(prompt, "context", "a turn is empty", reply.text)
    return text
