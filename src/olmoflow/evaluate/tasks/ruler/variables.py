"""RULER's variable tracking: which variables have this value, through a chain of assignments?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from random import Random
from string import ascii_uppercase

from olmoflow.evaluate.tasks.ruler.prompts import NOISE, VARIABLES
from olmoflow.evaluate.tasks.ruler.sample import Sample


@dataclass(frozen=True)
class Variables:
    """A chain of assignments in noise (``vt``), after one solved example.

    Attributes:
        hops: Assignments that follow the first.
        example_size: Lines of noise in the solved example. RULER fits it to 500 tokens, which 15
            lines come to with the tokenizers of today.
    """

    hops: int = 4
    example_size: int = 15
    tokens_to_generate: int = VARIABLES.tokens_to_generate
    largest: int | None = None

    @property
    def smallest(self) -> int:
        """Lines among which each assignment has a place."""
        return self.hops + 1

    def sample(self, rng: Random, size: int) -> Sample:
        """So many lines of noise among which the assignments stand."""
        example = self._chain(rng, self.example_size, letters=3)
        question = self._chain(rng, size, letters=5)
        solved = f"{example.text} {' '.join(example.references)}\n"
        return Sample(f"{solved}\n{question.text}", question.references)

    def _chain(self, rng: Random, size: int, letters: int) -> Sample:
        names: list[str] = []
        while len(names) <= self.hops:
            name = "".join(rng.choices(ascii_uppercase, k=letters))
            if name not in names:
                names.append(name)
        value = rng.randint(10_000, 99_998)
        chain = [f"VAR {names[0]} = {value}"]
        chain += [f"VAR {b} = VAR {a} " for a, b in pairwise(names)]
        lines = [NOISE] * size
        for shift, place in enumerate(sorted(rng.sample(range(size), len(chain)))):
            lines.insert(place + shift, chain[shift])
        text = VARIABLES.fill(context="\n".join(lines), query=value, count=self.hops + 1)
        return Sample(text, tuple(names))
