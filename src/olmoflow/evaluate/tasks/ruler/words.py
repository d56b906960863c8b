"""RULER's aggregation: which words are the most common?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase

from olmoflow.evaluate.tasks.ruler.prompts import COMMON_WORDS, FREQUENT_WORDS
from olmoflow.evaluate.tasks.ruler.sample import Sample
from olmoflow.evaluate.tasks.ruler.sources import all_words

_SHORT = 4096  # below this length RULER repeats words less often


@dataclass(frozen=True)
class CommonWords:
    """A numbered list in which ten words are more common than the others (``cwe``).

    One solved example of 40 words comes first (20 below a length of 4,096 tokens).

    Attributes:
        length: Of prompt and answer, in tokens.
    """

    length: int
    tokens_to_generate: int = COMMON_WORDS.tokens_to_generate
    common: int = 10

    @property
    def smallest(self) -> int:
        """The common words and one more."""
        return self.common + 1

    @property
    def largest(self) -> int:
        """All words that there are."""
        return len(all_words())

    def sample(self, rng: Random, size: int) -> Sample:
        """A list of so many different words."""
        short = self.length < _SHORT
        example, solved = self._list(rng, *((20, 3, 1) if short else (40, 10, 3)))
        context, answer = self._list(rng, size, *((6, 1) if short else (30, 3)))
        shot = f"{COMMON_WORDS.fill(context=example)} {_numbered(solved)}"
        return Sample(f"{shot}\n{COMMON_WORDS.fill(context=context)}", tuple(answer))

    def _list(self, rng: Random, size: int, often: int, seldom: int) -> tuple[str, list[str]]:
        drawn = rng.sample(all_words(), size)
        common, others = drawn[: self.common], drawn[self.common :]
        words = common * often + others * seldom
        rng.shuffle(words)
        return _numbered(words), common


def _numbered(words: list[str]) -> str:
    return " ".join(f"{place}. {word}" for place, word in enumerate(words, start=1))


@dataclass(frozen=True)
class FrequentWords:
    """Made-up words whose frequencies follow a zeta distribution (``fwe``).

    The likeliest word is ``...``, noise; asked for are the three after it.

    Attributes:
        length: Of prompt and answer, in tokens.
        letters: Of a made-up word.
    """

    length: int
    letters: int = 6
    tokens_to_generate: int = FREQUENT_WORDS.tokens_to_generate
    largest: int | None = None

    @property
    def smallest(self) -> int:
        """From here on the words of ranks 4 and 5 differ in their counts: the three stand out."""
        return 53

    def sample(self, rng: Random, size: int) -> Sample:
        """A text of about so many words: of rank k there are ``floor(size · k⁻² / ζ(2))``."""
        vocabulary = ["...", *self._vocabulary(rng)]
        words: list[str] = []
        for rank, word in enumerate(vocabulary, start=1):
            words += [word] * int(size * rank**-2 / (math.pi**2 / 6))
        rng.shuffle(words)
        text = FREQUENT_WORDS.fill(context=" ".join(words))
        return Sample(text, tuple(vocabulary[1:4]))

    def _vocabulary(self, rng: Random) -> list[str]:
        # A 50th of the room, as RULER has it.
        wanted = max(5, (self.length - self.tokens_to_generate) // 50 - 1)
        words: dict[str, None] = {}
        while len(words) < wanted:
            words["".join(rng.choices(ascii_lowercase, k=self.letters))] = None
        return list(words)
