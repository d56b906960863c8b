"""Which pairs stay: filters one after the other, every removal counted and some of them shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from olmoflow.errors import UserError
from olmoflow.synthesize.recipe import Pair, Removed
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.forging import forgery
from olmoflow.tokens.tokenizer import Tokenizer

# Removed rows shown of each reason.
SHOWN = 5

Filter = Callable[[Sequence[Pair]], Sequence[str | None]]
"""Pairs to the reason why each goes, None where it stays."""


@dataclass
class Step:
    """What came into a step and what left it.

    Attributes:
        name: Of the step.
        came: Rows before it.
        came_bytes: Of the prompts of those rows.
        removed: By reason.
        removed_bytes: Of the prompts of the removed rows.
        shown: The first few removed of each reason.
    """

    name: str
    came: int = 0
    came_bytes: int = 0
    removed_bytes: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    shown: list[Removed] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Rows after it."""
        return self.came - self.removed.total()

    @property
    def left_bytes(self) -> int:
        """Of the prompts of the rows after it."""
        return self.came_bytes - self.removed_bytes

    def remove(self, removed: Removed) -> None:
        """Count a row that goes."""
        self.removed[removed.reason] += 1
        self.removed_bytes += removed.prompt.size
        if self.removed[removed.reason] <= SHOWN:
            self.shown.append(removed)


def ended(ends: Iterable[Pair | Removed], steps: Sequence[str]) -> tuple[list[Pair], list[Step]]:
    """What came of the recipes: the pairs, and where the others were lost.

    Args:
        ends: Of the recipes.
        steps: The recipe's steps, in their order.
    """
    found = {name: Step(name) for name in steps}
    pairs: list[Pair] = []
    total = total_bytes = 0
    for end in ends:
        total, total_bytes = total + 1, total_bytes + end.prompt.size
        if isinstance(end, Removed):
            found[end.step].remove(end)
        else:
            pairs.append(end)
    for step in found.values():
        step.came, step.came_bytes = total, total_bytes
        total, total_bytes = step.left, step.left_bytes
    return pairs, list(found.values())


def select(
    pairs: Sequence[Pair], filters: Iterable[tuple[str, Filter]]
) -> tuple[list[Pair], list[Step]]:
    """Apply filters, each to what the ones before it left.

    Args:
        pairs: In the order in which they are written.
        filters: With their names.
    """
    left, steps = list(pairs), []
    for name, reasons_of in filters:
        step = Step(name, len(left), sum(pair.prompt.size for pair in left))
        kept = []
        for pair, reason in zip(left, reasons_of(left), strict=True):
            if reason is None:
                kept.append(pair)
            else:
                text = pair.chosen.answer.text
                step.remove(Removed(pair.prompt, name, reason, text))
        left = kept
        steps.append(step)
    return left, steps


@dataclass(frozen=True)
class Sound:
    """A `Filter`: answers that can be a pair at all.

    Args:
        drop_unfinished: Whose answers must not have been cut at their limit: ``chosen``, ``both``
            or ``none``.
        special_tokens: Whose text no message of a pair may hold: it would forge a turn.

    Raises:
        UserError: Its value is another.
    """

    drop_unfinished: str = "chosen"
    special_tokens: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.drop_unfinished not in ("chosen", "both", "none"):
            raise UserError(
                f"pipeline.drop_unfinished={self.drop_unfinished}: expected chosen, both or none"
            )

    def __call__(self, pairs: Sequence[Pair]) -> list[str | None]:
        """The first thing that is wrong with each."""
        return [self._reason(pair) for pair in pairs]

    def _reason(self, pair: Pair) -> str | None:
        chosen, rejected = pair.chosen.answer, pair.rejected.answer
        if not chosen.text.strip() or not rejected.text.strip():
            return "an answer is empty"
        if chosen.text.strip() == rejected.text.strip():
            return "chosen and rejected are the same"
        if "\0" in chosen.text or "\0" in rejected.text:
            return "an answer has a NUL character"
        if _begins_with_line_break(chosen.text) or _begins_with_line_break(rejected.text):
            return "an answer begins with a line break"
        if self.drop_unfinished != "none" and chosen.finish_reason == "length":
            return "the chosen answer was cut at its limit"
        if self.drop_unfinished == "both" and rejected.finish_reason == "length":
            return "the rejected answer was cut at its limit"
        return self._forged(pair)

    def _forged(self, pair: Pair) -> str | None:
        for side in (pair.chosen, pair.rejected):
            answer = Message("assistant", side.answer.text)
            if reason := forgery(answer, self.special_tokens):
                return f"an answer {reason}"
        for message in pair.messages:
            if reason := forgery(message, self.special_tokens):
                return f"a message {reason}"
        return None


def _begins_with_line_break(text: str) -> bool:
    """Whether nobody can say where the answer begins: its turn's header ends with a line break.

    Tokenizers join the two, so `olmoflow tokenize` would set the row apart.
    """
    blank = text[: len(text) - len(text.lstrip())]
    return "\n" in blank or "\r" in blank


@dataclass(frozen=True)
class Lengths:
    """Measures answers in the tokens of a tokenizer, or in characters where there is none."""

    tokenizer: Tokenizer | None

    @property
    def unit(self) -> str:
        """``tokens`` or ``characters``."""
        return "tokens" if self.tokenizer else "characters"

    def of(self, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
        """The lengths of chosen and rejected."""
        texts = [side.answer.text for p in pairs for side in (p.chosen, p.rejected)]
        if self.tokenizer is None:
            lengths = [len(text) for text in texts]
        else:
            lengths = [len(ids) for ids in self.tokenizer.encode_many(texts)]
        return list(zip(lengths[::2], lengths[1::2], strict=True))


@dataclass(frozen=True)
class LengthControl:
    """A `Filter`: chosen and rejected are of nearly the same length.

    Longer answers are preferred more often, and a model that learns from such pairs learns to talk
    (Olmo 3 report: a difference of at most 100 tokens in the chat and multi-turn subsets).

    Args:
        lengths: Measures.
        max_difference: Tokens between the two, at most.
        sources: Only pairs of these are looked at; None: all.
    """

    lengths: Lengths
    max_difference: int
    sources: Collection[str] | None = None

    def __call__(self, pairs: Sequence[Pair]) -> list[str | None]:
        """Whether each is too far apart."""
        return [
            self._reason(p, *both) for p, both in zip(pairs, self.lengths.of(pairs), strict=True)
        ]

    def _reason(self, pair: Pair, chosen: int, rejected: int) -> str | None:
        if self.sources is not None and pair.prompt.source not in self.sources:
            return None
        if abs(chosen - rejected) <= self.max_difference:
            return None
        longer = "chosen" if chosen > rejected else "rejected"
        return f"the {longer} answer is longer by more than {self.max_difference} tokens"
