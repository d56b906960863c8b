"""A filter by form: whose turn comes after whose, turns that say nothing, thoughts left open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from olmoflow.curate.conversations.outcome import without_faults
from olmoflow.curate.conversations.row import CHOSEN, REJECTED, Turn, said_in, shared
from olmoflow.curate.conversations.turns import Sides, sides_of, without_turns
from olmoflow.curate.operations.arguments import require_choice
from olmoflow.curate.operations.operation import Outcome

OPEN, CLOSE = "<think>", "</think>"
# What a chat template writes between turns: within one it would end it.
TEMPLATE_TOKENS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
THINKING = ("any", "required", "forbidden")
# Who may speak after whom; None is the beginning.
_AFTER = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "environment"),
    "environment": ("assistant", "environment"),
}


@dataclass(frozen=True)
class ConversationFormatFilter:
    """Keep conversations whose turns and thoughts are in order, of a preference both sides.

    Olmo 3 leaves out thoughts that are not closed. What goes, and is counted by its reason: a role
    that is none of system, user, assistant and environment; roles out of order (a system turn
    only at the beginning, then user and assistant in turns, the environment after an assistant);
    a conversation that does not end with the assistant; a turn that says nothing; ``<think>``
    not closed, closed without having been opened, opened twice, or nothing said after it; a token
    of a chat template within a turn; chosen and rejected that are the same, or differ before their
    last turn.

    Args:
        thinking: Whether a final turn thinks: ``any`` may, ``required`` or ``forbidden``.
        template_tokens: Whether tokens of a chat template may stand in a turn.
    """

    thinking: str = "any"
    template_tokens: bool = False

    def __post_init__(self) -> None:
        require_choice("conversation_format_filter", "thinking", self.thinking, THINKING)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        sides = sides_of(documents)
        faults = [next(self._faults(each), None) for each in sides]
        return without_faults(documents, faults, without_turns(sides))

    def _faults(self, sides: Sides) -> Iterator[str]:
        for turns in sides.values():
            yield from _order(turns)
            for turn in turns:
                yield from self._turn(turn)
            yield from self._end(turns[-1])
        if CHOSEN in sides:
            yield from _pair(sides[CHOSEN], sides[REJECTED])

    def _turn(self, turn: Turn) -> Iterator[str]:
        role = turn["role"]
        if not said_in([turn]).strip() and role != "environment":
            yield f"empty turn of the {role}"
        if not self.template_tokens and any(t in said_in([turn]) for t in TEMPLATE_TOKENS):
            yield "a chat template's token in a turn"
        if role == "assistant":
            yield from _thoughts(turn)

    def _end(self, turn: Turn) -> Iterator[str]:
        thinks = OPEN in (turn.get("content") or "")
        if self.thinking == "required" and not thinks:
            yield f"no {OPEN} in the last turn"
        if self.thinking == "forbidden" and thinks:
            yield f"{OPEN} in the last turn"


def _order(turns: list[Turn]) -> Iterator[str]:
    before: str | None = None
    for turn in turns:
        role = turn["role"]
        if role not in _AFTER:
            yield "unknown role"
        if role not in _AFTER[before]:
            yield "roles out of order"
        before = role
    if before != "assistant":
        yield "does not end with the assistant"


def _thoughts(turn: Turn) -> Iterator[str]:
    """What is wrong with the thoughts of an assistant's turn."""
    content = turn.get("content") or ""
    opened, closed = content.count(OPEN), content.count(CLOSE)
    if opened > closed:
        yield f"{OPEN} is not closed"
    if closed > opened or (opened and content.index(CLOSE) < content.index(OPEN)):
        yield f"{CLOSE} closes nothing"
    if opened > 1:
        yield f"{OPEN} more than once"
    answered = content.partition(CLOSE)[2].strip() or turn.get("function_calls")
    if opened and closed and not answered:
        yield f"nothing after {CLOSE}"


def _pair(chosen: list[Turn], rejected: list[Turn]) -> Iterator[str]:
    if chosen == rejected:
        yield "chosen and rejected are the same"
    if not len(chosen) == len(rejected) == shared(chosen, rejected) + 1:
        yield "chosen and rejected differ before their last turn"
