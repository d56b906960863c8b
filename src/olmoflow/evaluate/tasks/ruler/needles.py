"""RULER's needles in haystacks: find the values that belong to keys."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Literal

from olmoflow.evaluate.tasks.ruler.prompts import NEEDLE, NEEDLES, NOISE, ONE_NEEDLE
from olmoflow.evaluate.tasks.ruler.sample import Sample
from olmoflow.evaluate.tasks.ruler.sources import ESSAYS, haystack_sentences, word_list

# Places of needles in essays, in percent of the sentences: RULER's rounded linspace(0, 100, 40).
DEPTHS = tuple(round(100 * place / 39) for place in range(40))


def _number(rng: Random) -> str:
    return str(rng.randint(1_000_000, 9_999_999))


def _word(rng: Random) -> str:
    return f"{rng.choice(word_list('adjective'))}-{rng.choice(word_list('noun'))}"


def _uuid(rng: Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


_DRAW: dict[str, Callable[[Random], str]] = {"numbers": _number, "words": _word, "uuids": _uuid}


@dataclass(frozen=True)
class Needles:
    """Needles in a haystack (``niah``).

    Attributes:
        hay: Sentences of essays, one sentence of noise over and over, or other needles.
        key_kind: What keys look like.
        value_kind: What values look like.
        keys: Keys that have needles.
        values: Needles of each key.
        queries: Keys that are asked for.
        haystack: Where essays come from.
    """

    hay: Literal["essay", "noise", "needle"]
    key_kind: Literal["words", "uuids"] = "words"
    value_kind: Literal["numbers", "uuids"] = "numbers"
    keys: int = 1
    values: int = 1
    queries: int = 1
    haystack: str = ESSAYS
    tokens_to_generate: int = NEEDLES.tokens_to_generate
    largest: int | None = None

    @property
    def smallest(self) -> int:
        """Lines among which each needle has a place; any number of words of an essay."""
        return 1 if self.hay == "essay" else self._keys * self.values

    @property
    def _keys(self) -> int:
        return max(self.keys, self.queries)

    def sample(self, rng: Random, size: int) -> Sample:
        """A haystack of so many words (essays) or lines, with its needles."""
        pairs = self._pairs(rng)
        needles = [self._needle(key, value) for key, values in pairs.items() for value in values]
        rng.shuffle(needles)
        asked = rng.sample(list(pairs), self.queries)
        if self.hay == "essay":
            context = _among_sentences(rng, haystack_sentences(self.haystack, size), needles)
        else:
            context = _among_lines(rng, self._lines(rng, size, set(pairs)), needles)
        single = self.queries * self.values == 1
        text = (ONE_NEEDLE if single else NEEDLES).fill(
            kind=self.value_kind.removesuffix("s") if single else self.value_kind,
            context=context,
            query=_listed(asked),
        )
        return Sample(text, tuple(value for key in asked for value in pairs[key]))

    def _pairs(self, rng: Random) -> dict[str, list[str]]:
        pairs: dict[str, list[str]] = {}
        while len(pairs) < self._keys:
            key = _DRAW[self.key_kind](rng)
            pairs.setdefault(key, [_DRAW[self.value_kind](rng) for _ in range(self.values)])
        return pairs

    def _needle(self, key: str, value: str) -> str:
        return NEEDLE.format(kind=self.value_kind, key=key, value=value)

    def _lines(self, rng: Random, size: int, taken: set[str]) -> list[str]:
        if self.hay == "noise":
            return [NOISE] * size
        lines: list[str] = []
        while len(lines) < size:
            key, value = _DRAW[self.key_kind](rng), _DRAW[self.value_kind](rng)
            if key not in taken:  # the question has one answer
                lines.append(self._needle(key, value))
        return lines


def _among_sentences(rng: Random, hay: tuple[str, ...], needles: list[str]) -> str:
    depths = rng.sample(DEPTHS, len(needles))
    places = [0, *sorted(len(hay) * depth // 100 for depth in depths), len(hay)]
    parts: list[str] = []
    for number, (start, end) in enumerate(pairwise(places)):
        parts.append(" ".join(hay[start:end]))
        parts += needles[number : number + 1]
    return " ".join(parts)


def _among_lines(rng: Random, lines: list[str], needles: list[str]) -> str:
    places = sorted(rng.sample(range(len(lines)), len(needles)), reverse=True)
    for place, needle in zip(places, needles, strict=True):
        lines.insert(place, needle)
    return "\n".join(lines)


def _listed(queries: list[str]) -> str:
    if len(queries) == 1:
        return queries[0]
    return f"{', '.join(queries[:-1])}, and {queries[-1]}"
