"""Has an engine answer instances: equal requests once; what does not fit or is no number named."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.encoding import Encoded, RequestEncoder, TooLong
from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    GenerateResponse,
    Instance,
    LoglikelihoodResponse,
    Request,
    Response,
)
from olmoflow.inference.engine import Completion, Engine, GenerationRequest, Score, ScoreRequest
from olmoflow.tokens.tokenizer import Tokenizer


class Scorer(Protocol):
    """What of an `Engine` scores: enough for tasks that ask for likelihoods."""

    @property
    def max_length(self) -> int: ...  # noqa: D102

    @property
    def vocab_size(self) -> int: ...  # noqa: D102

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Score]]:
        """See `Engine.score`."""
        ...


class _Likelihood(NamedTuple):
    """What is kept of a score: half a million of them are small."""

    sum_logits: float
    num_tokens: int
    is_greedy: bool


_Result = _Likelihood | list[Completion]

NOT_A_NUMBER = (
    "the model computes NaN or no probability at all; its weights may be damaged, or too large for "
    "its dtype"
)
"""Why an instance has no responses that an engine did answer. The likeliest of choices that are all
NaN would be the first one, which is right in some quarter of the questions."""


@dataclass(frozen=True)
class Answered:
    """An instance and what came back.

    Attributes:
        instance: The question.
        responses: To its requests, in their order; None where one could not be asked, or its answer
            is no number.
        error: Why there are none.
    """

    instance: Instance
    responses: tuple[Response, ...] | None
    error: str | None = None


@dataclass(frozen=True)
class Prepared:
    """The requests of a task's instances as an engine takes them.

    Attributes:
        instances: The questions.
        encoded: Their requests, one after the other.
        keys: Equal ones have the same; None of those that do not fit.
        costs: See `cost`.
    """

    instances: Sequence[Instance]
    encoded: Sequence[Encoded | TooLong]
    keys: Sequence[bytes | None]
    costs: Sequence[int]


Advance = Callable[[int], None]
"""Called with the cost of what has been answered since the last call."""


def cost(request: Request) -> int:
    """About how much work a request is, in characters: what a progress bar counts."""
    if isinstance(request, GenerateRequest):
        return len(request.context) + 4 * request.max_new_tokens * request.samples
    return len(request.context) + len(request.continuation)


@dataclass
class Answerer:
    """Answers the instances of one task after the other.

    What was scored once is not scored again, in another task of the same evaluation either: the
    gold answers of a cloze task are the requests of its bits-per-byte twin. Samples are drawn for
    each request anew.

    Attributes:
        engine: What answers.
        tokenizer: The model's.
        seed: Of what is sampled.
        answered: Results by request; grows.
    """

    engine: Engine | Scorer
    tokenizer: Tokenizer
    seed: int = 0
    answered: dict[bytes, _Likelihood] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found, rows = self.tokenizer.vocab_size, self.engine.vocab_size
        if found > rows:
            raise UserError(
                f"tokenizer: it has {found} tokens, the model {rows} rows; expected the model's own"
            )
        self._encoder = RequestEncoder(self.tokenizer, self.engine.max_length, self.seed)

    def answer(
        self, task: str, instances: Sequence[Instance], advance: Advance | None = None
    ) -> list[Answered]:
        """Answer the requests of a task's instances.

        Args:
            task: Its name, which what is sampled depends on.
            instances: Its questions.
            advance: Told of the progress.
        """
        return self.answer_prepared(self.prepare(task, instances), advance)

    def prepare(self, task: str, instances: Sequence[Instance]) -> Prepared:
        """Encode the requests of a task's instances, to be answered once or several times."""
        pairs = [(r, f"{task}/{i.doc_id}") for i in instances for r in i.requests]
        encoded = self._encoder.encode(pairs)
        keys = [None if isinstance(e, TooLong) else _identity(e.request) for e in encoded]
        return Prepared(instances, encoded, keys, [cost(request) for request, _ in pairs])

    def answer_prepared(self, prepared: Prepared, advance: Advance | None = None) -> list[Answered]:
        """Answer what `prepare` has encoded."""
        encoded, keys = prepared.encoded, prepared.keys
        results = self._results(encoded, keys, prepared.costs, advance)
        answered, place = [], 0
        for instance in prepared.instances:
            part = slice(place, place + len(instance.requests))
            place = part.stop
            answered.append(self._one(instance, encoded[part], keys[part], results))
        return answered

    def _results(
        self,
        encoded: Sequence[Encoded | TooLong],
        keys: Sequence[bytes | None],
        costs: Sequence[int],
        advance: Advance | None,
    ) -> dict[bytes, _Result]:
        """What the engine says to each distinct request."""
        results: dict[bytes, _Result] = {}
        wanted: dict[bytes, ScoreRequest | GenerationRequest] = {}
        weights: dict[bytes, int] = {}
        done = 0
        for each, key, weight in zip(encoded, keys, costs, strict=True):
            if key is None or isinstance(each, TooLong):
                done += weight
            elif key in self.answered:
                results[key] = self.answered[key]
                done += weight
            else:
                wanted[key] = each.request
                weights[key] = weights.get(key, 0) + weight
        if advance and done:
            advance(done)
        for key, result in self._ask(wanted):
            results[key] = result
            if isinstance(result, _Likelihood):
                self.answered[key] = result
            if advance:
                advance(weights[key])
        return results

    def _ask(
        self, wanted: dict[bytes, ScoreRequest | GenerationRequest]
    ) -> Iterator[tuple[bytes, _Result]]:
        scores = {k: r for k, r in wanted.items() if isinstance(r, ScoreRequest)}
        if scores:
            keys = list(scores)
            for number, score in self.engine.score(list(scores.values())):
                yield (
                    keys[number],
                    _Likelihood(sum(score.logprobs), len(score.logprobs), score.greedy),
                )
        prompts = {k: r for k, r in wanted.items() if isinstance(r, GenerationRequest)}
        if prompts:
            assert isinstance(self.engine, Engine)
            keys = list(prompts)
            samples: dict[int, list[Completion]] = {}
            for completion in self.engine.generate(prompts.values()):
                same = samples.setdefault(completion.request, [])
                same.append(completion)
                if len(same) == prompts[keys[completion.request]].n:
                    yield keys[completion.request], sorted(same, key=lambda c: c.sample)

    def _one(
        self,
        instance: Instance,
        encoded: Sequence[Encoded | TooLong],
        keys: Sequence[bytes | None],
        results: dict[bytes, _Result],
    ) -> Answered:
        responses: list[Response] = []
        for request, each, key in zip(instance.requests, encoded, keys, strict=True):
            if isinstance(each, TooLong) or key is None:
                return Answered(instance, None, each.reason if isinstance(each, TooLong) else "")
            result = results[key]
            if not _all_numbers(result):
                return Answered(instance, None, NOT_A_NUMBER)
            if isinstance(result, _Likelihood):
                responses.append(
                    LoglikelihoodResponse(
                        result.sum_logits,
                        result.num_tokens,
                        each.tokens,
                        result.is_greedy,
                        each.truncated,
                    )
                )
            else:
                assert isinstance(request, GenerateRequest)
                responses.append(self._generation(result, each, request.stop_sequences))
        return Answered(instance, tuple(responses))

    def _generation(
        self, completions: list[Completion], each: Encoded, stops: Sequence[str]
    ) -> GenerateResponse:
        return GenerateResponse(
            continuations=tuple(self._text(c, stops) for c in completions),
            sum_logits=tuple(sum(c.logprobs) for c in completions),
            num_tokens=tuple(len(c.token_ids) for c in completions),
            stopped=tuple(c.finish_reason == "stop" for c in completions),
            truncated=each.truncated,
        )

    def _text(self, completion: Completion, stops: Sequence[str]) -> str:
        text = completion.text
        if text is None:
            text = self.tokenizer.decode(completion.token_ids, skip_special_tokens=True)
        for stop in filter(None, stops):
            text = text.partition(stop)[0]
        return text


def _all_numbers(result: _Result) -> bool:
    if isinstance(result, _Likelihood):
        return math.isfinite(result.sum_logits)
    return all(math.isfinite(sum(each.logprobs)) for each in result)


def _identity(request: ScoreRequest | GenerationRequest) -> bytes:
    """Equal requests that must have equal answers have the same identity."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(request, ScoreRequest):
        parts = [list(request.context_ids), list(request.continuation_ids)]
    else:
        sampled = request.seed if request.sampling.temperature > 0 else None
        rest = (request.max_new_tokens, request.sampling, request.n, sampled)
        digest.update(repr((*rest, sorted(request.stop_ids), request.stop_texts)).encode())
        parts = [list(request.prompt_ids)]
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(array("q", part).tobytes())
    return digest.digest()
