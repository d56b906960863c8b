"""What makes RULER's samples, and how large they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from olmoflow.errors import UserError


@dataclass(frozen=True)
class Sample:
    """One prompt.

    Attributes:
        text: With its answer prefix.
        references: What the answer has to contain, all of it.
    """

    text: str
    references: tuple[str, ...]


class Generator(Protocol):
    """Makes the samples of one task in any size."""

    @property
    def tokens_to_generate(self) -> int:
        """Room that is left for the answer, in tokens."""
        ...

    @property
    def smallest(self) -> int:
        """Size below which there is no sample."""
        ...

    @property
    def largest(self) -> int | None:
        """Size that the words at hand allow; None: no limit."""
        ...

    def sample(self, rng: Random, size: int) -> Sample:
        """A sample of a size: words, lines or repetitions of noise, as the generator counts."""
        ...


Seeded = Callable[[], Random]
Count = Callable[[str], int]


def largest_size(generator: Generator, seeded: Seeded, count: Count, room: int) -> int:
    """The largest size whose sample has at most `room` tokens.

    Tokens grow about evenly with the size, so every other guess interpolates; the ones between
    halve what is left, so that it ends whatever the tokens do.

    Args:
        generator: Of the samples.
        seeded: A fresh random state; always the same.
        count: Tokens of a text.
        room: Tokens of the prompt at most.

    Raises:
        UserError: Even the smallest sample is longer, or the words at hand do not suffice.
    """

    def tokens(size: int) -> int:
        return count(generator.sample(seeded(), size).text)

    low = high = generator.smallest
    below = above = tokens(low)
    if below > room:
        raise too_long(below, room)
    while above <= room:
        if high == generator.largest:
            raise UserError(
                f"needs more than the {high:,} different ones that there are; expected a smaller "
                "length"
            )
        low, below = high, above
        high = min(2 * low, generator.largest or 2 * low)
        above = tokens(high)
    interpolate = True
    while high - low > 1:
        share = (room - below) / (above - below) if interpolate else 0.5
        middle = min(max(low + int(share * (high - low)), low + 1), high - 1)
        if (found := tokens(middle)) <= room:
            low, below = middle, found
        else:
            high, above = middle, found
        interpolate = not interpolate
    return low


def too_long(tokens: int, room: int) -> UserError:
    """What is said of a length that no sample fits."""
    return UserError(
        f"the smallest prompt has {tokens} tokens, but there is room for {room}; expected a "
        "greater length"
    )


def fitting_sample(
    generator: Generator, seeded: Seeded, count: Count, room: int, size: int
) -> tuple[Sample, int, int]:
    """A sample of this size, or of the next smaller one that fits.

    RULER makes a sample smaller by fixed amounts (500 words of an essay, 25 lines), which leaves
    short prompts far below their length; here it is a 64th.

    Returns:
        The sample, its size and its tokens.

    Raises:
        UserError: Even the smallest sample is longer than `room`.
    """
    while True:
        sample = generator.sample(seeded(), size)
        if (tokens := count(sample.text)) <= room:
            return sample, size, tokens
        if size == generator.smallest:
            raise too_long(tokens, room)
        size = max(generator.smallest, size - max(1, size // 64))
