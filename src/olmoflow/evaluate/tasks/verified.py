"""Tasks whose answers a verifier judges: mathematics, programs, constraints, puzzles.

Several samples of each question give what several tries are worth: pass@k (is one of k right?) and
maj@k (is the answer that most of k agree on right?). What could not be judged counts as not solved
in the metrics, as everywhere in the field, and is counted apart in the outcomes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from olmoflow.errors import UserError
from olmoflow.evaluate.metrics.sampling import majority_at_k, pass_at_k
from olmoflow.evaluate.tasks.document import chosen
from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    GenerateResponse,
    Instance,
    InstanceScore,
    Response,
)
from olmoflow.verifiers import Answer, Verdict, Verifier, normalization

# Several samples are drawn at these, unless others are given (Olmo 3 report: section A.4 and table
# 16); one sample is greedy.
TEMPERATURE = 0.6
BASE_TOP_P = 0.6
CHAT_TOP_P = 0.95
# A chat ends its turn by itself, and needs room to think (table 16).
CHAT_TOKENS = 32_768

Answered = Sequence[tuple[Instance, Sequence[Response]]]


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        doc_id: Its number in the task.
        native_id: What its data set calls it.
        doc: The row it was made of.
        prompt: What the model is asked.
        reference: What the verifier compares with.
    """

    doc_id: int
    native_id: str | int | None
    doc: Mapping[str, Any]
    prompt: str
    reference: Any


class Questions(Protocol):
    """Where questions come from."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them and their prompts; plain values."""
        ...

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Question]:
        """Those in these places, counted from 0, or all of them; in their order.

        Raises:
            UserError: The data are absent.
        """
        ...


@dataclass(frozen=True)
class Generation:
    """How answers are sampled.

    Attributes:
        max_new_tokens: At most so many.
        stop: Texts that end an answer.
        temperature: 0: greedy, the same answer whoever samples it.
        top_p: Nucleus.
        samples: Answers to each question.
        chat: The prompt is what a user says to a chat model.
    """

    max_new_tokens: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    chat: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1 or self.max_new_tokens < 1:
            raise UserError(
                f"samples={self.samples}, max_new_tokens={self.max_new_tokens}: expected numbers "
                "above 0"
            )
        if not 0 <= self.temperature < math.inf or not 0 < self.top_p <= 1:
            raise UserError(
                f"temperature={self.temperature}, top_p={self.top_p}: expected a temperature of "
                "at least 0 and a top_p above 0 and at most 1"
            )
        if self.samples > 1 and self.temperature == 0:
            raise UserError(
                f"samples={self.samples}, temperature=0: greedy samples are all the same; expected "
                "a temperature above 0, or samples=1"
            )

    def request(self, prompt: str) -> GenerateRequest:
        """The request for this prompt."""
        return GenerateRequest(
            prompt,
            self.stop,
            self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            samples=self.samples,
            chat=self.chat,
        )

    @property
    def ks(self) -> list[int]:
        """For which k there is a pass@k: the powers of two from 2 on, and all of the samples."""
        powers = {2**power for power in range(1, self.samples.bit_length())}
        return sorted(powers | {self.samples} - {1})


@dataclass(frozen=True)
class VerifiedTask:
    """A `Task`: questions, how answers are sampled, and who judges them.

    Attributes:
        name: Of the task.
        questions: Where they come from.
        generation: How answers are sampled.
        verifier: Name of who judges (`olmoflow.verifiers.find_verifier`). It is closed after each
            scoring, so no process outlives it.
        verifier_settings: Its settings.
        primary_metric: The mean over the samples: ``exact_match`` and ``pass_at_1`` of those with
            full score, ``score`` of the scores.
        majority: Whether answers can be counted against each other (maj@k).
    """

    name: str
    questions: Questions
    generation: Generation
    verifier: str
    verifier_settings: Mapping[str, Any] = field(default_factory=dict)
    primary_metric: str = "exact_match"
    majority: bool = False
    higher_is_better: bool = True

    @property
    def config(self) -> Mapping[str, Any]:
        """Whatever decides a score."""
        return {
            "name": self.name,
            **self.questions.config,
            **asdict(self.generation),
            "stop": list(self.generation.stop),
            "verifier": {"name": self.verifier, **self.verifier_settings},
        }

    def sampled(
        self,
        *,
        samples: int = 1,
        temperature: float | None = None,
        top_p: float | None = None,
        max_new_tokens: int | None = None,
    ) -> VerifiedTask:
        """The same task with other samples.

        Args:
            samples: Answers to each question.
            temperature: If not given 0.6, and 0 for one sample.
            top_p: If not given 0.6, and 0.95 for a chat; greedy decoding has none.
            max_new_tokens: At most so many; if not given, as many as the task has.

        Raises:
            UserError: A value is out of range, or all samples would be the same.
        """
        if temperature is None:
            temperature = TEMPERATURE if samples > 1 else 0.0
        if top_p is None:
            top_p = CHAT_TOP_P if self.generation.chat else BASE_TOP_P
        generation = replace(
            self.generation,
            samples=samples,
            temperature=temperature,
            top_p=top_p if temperature > 0 else 1.0,
            max_new_tokens=(
                self.generation.max_new_tokens if max_new_tokens is None else max_new_tokens
            ),
        )
        return replace(self, generation=generation)

    def instances(self, limit: int | None = None) -> Iterator[Instance]:
        """The questions in the order of the data; with a limit, OLMES's random choice of them.

        Raises:
            UserError: The data are absent or too few, or there can be no verifier, which nobody
                wants to hear after everything has been generated.
        """
        self._verifier().close()
        for question in chosen(self.questions, limit, self.name):
            yield Instance(
                question.doc_id,
                question.native_id,
                question.doc,
                question.reference,
                (self.generation.request(question.prompt),),
            )

    def score(self, answered: Answered) -> list[InstanceScore]:
        """Judge all samples of all instances at once, since verifiers work in parallel."""
        return [
            self._score(verdicts, responses)
            for verdicts, (_, responses) in zip(self.judge(answered), answered, strict=True)
        ]

    def judge(self, answered: Answered, **settings: Any) -> list[list[Verdict]]:
        """The verdicts on each instance's samples.

        Args:
            answered: As in `score`.
            settings: Of the verifier, besides the task's own.
        """
        answers, sizes = [], []
        for instance, responses in answered:
            texts = generated(responses).continuations
            answers += [Answer(text, instance.label) for text in texts]
            sizes.append(len(texts))
        with closing(self._verifier(**settings)) as verifier:
            verdicts = iter(verifier.verify(answers))
        return [list(islice(verdicts, size)) for size in sizes]

    def _verifier(self, **settings: Any) -> Verifier:
        from olmoflow.verifiers import find_verifier

        return find_verifier(self.verifier, **{**self.verifier_settings, **settings})

    def _score(self, verdicts: Sequence[Verdict], responses: Sequence[Response]) -> InstanceScore:
        correct = [verdict.score == 1 for verdict in verdicts]
        extracted = [verdict.extracted for verdict in verdicts]
        metrics = {"score": mean([verdict.score for verdict in verdicts])}
        if self.primary_metric != "score":
            metrics[self.primary_metric] = mean(correct)
        for k in self.generation.ks:
            metrics[f"pass_at_{k}"] = pass_at_k(len(correct), sum(correct), k)
            if self.majority:
                metrics[f"maj_at_{k}"] = majority_at_k(list(map(_vote, extracted)), correct, k)
        metrics["stopped"] = mean(generated(responses).stopped)
        outcomes = Counter[str](verdict.outcome for verdict in verdicts)
        return InstanceScore(metrics, dict(outcomes), tuple(extracted))


def _vote(answer: str | None) -> str | None:
    """One text for answers that are written differently, as ``1/2`` and ``0.5`` are."""
    if answer is None:
        return None
    spelled = normalization.math(answer)
    number = normalization.number(spelled)
    return spelled if number is None else str(number)


def generated(responses: Sequence[Response]) -> GenerateResponse:
    """The one response to a question, which is a generation."""
    (response,) = responses
    assert isinstance(response, GenerateResponse)
    return response


def mean(values: Sequence[float]) -> float:
    """Of at least one value."""
    return sum(values) / len(values)
