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
    """The largest size whose sample has at most `room` tokens, found by bisection.

    Args:
        generator: Of the samples.
        seeded: A fresh random state; always the same.
        count: Tokens of a text.
        room: Tokens of the prompt at most.

    Raises:
        UserError: Even the smallest sample is longer.
    """

    def tokens(size: int) -> int:
        return count(generator.sample(seeded(), size).text)

    if (found := tokens(generator.smallest)) > room:
        raise UserError(
            f"the smallest prompt has {found} tokens, but there is room for {room}; expected a "
            "greater length"
        )
    low, high = generator.smallest, 2 * generator.smallest
    limit = generator.largest
    while (limit is None or high <= limit) and tokens(high) <= room:
        low, high = high, 2 * high
    if limit is not None:
        high = min(high, limit + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tokens(middle) <= room else (low, middle)
    if low == limit:
        raise UserError(
            f"needs more than the {limit:,} different words that wonderwords has; expected a "
            "smaller length"
        )
    return low


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
            raise UserError(
                f"the smallest prompt has {tokens} tokens, but there is room for {room}; "
                "expected a greater length"
            )
        size = max(generator.smallest, size - max(1, size // 64))
