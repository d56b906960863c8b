"""The contract of a task: it asks, it scores, and knows nothing of who answers.

A task's instances are its questions. Each has requests (texts to continue, or continuations whose
likelihood is wanted). Whoever runs the task has an engine answer them and hands the responses back;
the task turns those of one instance into that instance's metrics, and the mean over the instances
is the task's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable


@dataclass(frozen=True)
class LoglikelihoodRequest:
    """How likely is this continuation? (OLMES ``loglikelihood``)

    Attributes:
        context: The prompt, with its shots.
        continuation: With its leading space.
        idx: Number of the choice in its instance.
        unconditional: The question is left out: how likely is the choice by itself? These stand
            behind the others, in the same order.
    """

    context: str
    continuation: str
    idx: int = 0
    unconditional: bool = False


@dataclass(frozen=True)
class GenerateRequest:
    """What comes next? (OLMES ``generate_until``)

    Attributes:
        context: The prompt, with its shots; with `chat`, what the user says.
        stop_sequences: Texts that end the answer and do not belong to it.
        max_new_tokens: At most so many.
        temperature: 0: greedy.
        top_p: Nucleus.
        samples: Answers wanted to this one prompt.
        idx: Number of the request in its instance.
        chat: Whoever runs the task puts the context into the model's own chat template, as the
            only turn. A model without one cannot be asked.
    """

    context: str
    stop_sequences: tuple[str, ...]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    idx: int = 0
    chat: bool = False


Request = LoglikelihoodRequest | GenerateRequest


@dataclass(frozen=True)
class LoglikelihoodResponse:
    """Answer to a `LoglikelihoodRequest`.

    Attributes:
        sum_logits: Sum of the natural log-probabilities of the continuation's tokens.
        num_tokens: Tokens of the continuation.
        num_tokens_all: Tokens of context and continuation.
        is_greedy: Whether the continuation is what greedy decoding would have said.
        truncated: Tokens that the context lost at its beginning to fit the model.
    """

    sum_logits: float
    num_tokens: int
    num_tokens_all: int
    is_greedy: bool
    truncated: int = 0


@dataclass(frozen=True)
class GenerateResponse:
    """Answer to a `GenerateRequest`.

    Attributes:
        continuations: One text for each sample, without the stop text.
        sum_logits: Of each sample.
        num_tokens: Of each sample.
        stopped: Whether each sample ended by itself (a stop text or the end token), not at the
            limit.
        truncated: Tokens that the context lost at its beginning to fit the model.
    """

    continuations: tuple[str, ...]
    sum_logits: tuple[float, ...]
    num_tokens: tuple[int, ...]
    stopped: tuple[bool, ...]
    truncated: int = 0


Response = LoglikelihoodResponse | GenerateResponse


@dataclass(frozen=True)
class Instance:
    """One question.

    Attributes:
        doc_id: Its number in the task.
        native_id: What its data set calls it.
        doc: The row it was made of; plain values.
        label: The gold answer: a choice's number, a text, or what the task's scoring needs.
        requests: At least one.
    """

    doc_id: int
    native_id: str | int | None
    doc: Mapping[str, Any]
    label: Any
    requests: tuple[Request, ...]


Outcome = Literal["scored", "no_answer", "timeout", "error"]


@dataclass(frozen=True)
class InstanceScore:
    """One instance scored.

    Attributes:
        metrics: Metric to value; the task's primary metric among them.
        outcomes: How often the verifiers said what (`olmoflow.verifiers.Outcome`); empty where
            there is no verifier.
        extracted: What was taken out of each sample as its answer.
    """

    metrics: Mapping[str, float]
    outcomes: Mapping[str, int]
    extracted: tuple[str | None, ...] = ()


@runtime_checkable
class Task(Protocol):
    """A set of questions and the way to score answers to them."""

    @property
    def name(self) -> str:
        """As suites name it, such as ``arc_easy:rc``."""
        ...

    @property
    def primary_metric(self) -> str:
        """The metric that stands for the task."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """False of bits per byte."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Whatever decides a score: data, split, shots, format, generation; plain values.

        Its hash identifies the task.
        """
        ...

    def instances(self, limit: int | None = None) -> Iterator[Instance]:
        """The questions, always in the same order.

        Args:
            limit: At most so many, chosen the same way each time.

        Raises:
            UserError: The data are absent; the message says how to get them.
        """
        ...

    def score(self, answered: Sequence[tuple[Instance, Sequence[Response]]]) -> list[InstanceScore]:
        """Score instances by the responses to their requests, in the order of the requests.

        It takes many at once since verifiers work in parallel.
        """
        ...


@runtime_checkable
class TokenizedTask(Task, Protocol):
    """A task whose questions depend on how texts are cut into tokens, such as RULER's lengths.

    Whoever runs it takes `with_tokenizer(…)` in its place before it asks for instances.
    """

    def with_tokenizer(self, count: Callable[[str], int], name: str) -> Task:
        """The same task for a model whose tokenizer counts like this.

        Args:
            count: Tokens of a text as the engine gets it, with what is put before it.
            name: Of the tokenizer: a name or a hash; it becomes part of the config.
        """
        ...
