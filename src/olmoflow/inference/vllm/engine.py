"""An engine whose model is on a vLLM server."""

from __future__ import annotations

import asyncio
import sys
import threading
import uuid
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.inference.engine import Completion, GenerationRequest, Score, ScoreRequest
from olmoflow.inference.vllm.answers import Generated
from olmoflow.inference.vllm.connection import Connection
from olmoflow.inference.vllm.dispatch import Dispatch
from olmoflow.inference.vllm.sample import completion, sampling_parameters
from olmoflow.inference.vllm.score import Reading, readings, scores
from olmoflow.inference.vllm.served import GENERATE, look_at
from olmoflow.inference.vllm.weights import HalfWrittenError, swap, weights_folder
from olmoflow.tokens.tokenizer import Tokenizer

T = TypeVar("T")


class VLLMEngine:
    """A model on a vLLM server (0.32).

    The server makes the batches and shares prefixes; this side keeps `concurrency` samples open.
    `./just vllm NAME` starts such a server; one started otherwise needs ``--enable-scale-out``, and
    ``VLLM_SERVER_DEV_MODE=1`` for `update_weights`.

    Args:
        url: Of the server, such as ``http://127.0.0.1:8000``.
        tokenizer: The model's; gives texts, and without one there are only ids.
        concurrency: Samples that are asked for at once.
        timeout: Seconds until one sample has to be there, time in the server's queue included.
        weights_folder: Where `update_weights` leaves weights for the server, which has to see it
            under the same path; None: the temporary folder of the machine that both run on.
        serves: A name that the served model must have; None: any model will do.

    Attributes:
        max_length: Tokens of a prompt and its continuation together, at most.
        vocab_size: Ids of tokens are below it.
        version: Of the weights in use; 0 for those that the server has when the engine opens.

    Raises:
        UserError: The server is not there, or serves something else.
    """

    def __init__(
        self,
        url: str,
        *,
        tokenizer: Tokenizer | None = None,
        concurrency: int = 256,
        timeout: float = 3600.0,
        weights_folder: str | None = None,
        serves: str | None = None,
    ) -> None:
        if concurrency < 1:
            raise UserError(f"engine.concurrency={concurrency}: expected at least 1")
        self.concurrency, self._tokenizer = concurrency, tokenizer
        self._weights_place = None if weights_folder is None else Path(weights_folder).absolute()
        self._server = Connection(url, timeout)
        try:
            self._served = self._server.call(look_at(self._server, serves))
        except BaseException:
            self._server.close()
            raise
        self.max_length, self.vocab_size = self._served.max_length, self._served.vocab_size
        self._say_what_pads()
        self.version = 0
        self._versions = {self._served.weights: 0}
        self._label = self._served.weights
        self._arrived = False
        self._broken: HalfWrittenError | None = None
        self._updating = threading.Lock()
        self._open = weakref.WeakSet[Dispatch[Any]]()

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Completion]:
        """Continue prompts, many at a time; see `Engine.generate`.

        A thread takes the requests, so completions come while the iterable blocks.
        """
        return self._run(self._samples(requests))

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[tuple[int, Score]]:
        """Log-probabilities of continuations; see `Engine.score`."""
        for number, request in enumerate(requests):
            self._check_ids(number, "continuation", request.continuation_ids)
            self._check(number, request.context_ids, len(request.continuation_ids))
        for found in self._run(partial(self._read, reading) for reading in readings(requests)):
            yield from found

    def update_weights(self, version: int, weights: Mapping[str, Tensor]) -> None:
        """Use other weights from the next token on; see `Engine.update_weights`.

        The first time, the server's tensors are compared with those that were sent.

        Raises:
            UserError: The weights do not fit, or the server cannot take them. If it failed midway,
                whoever iterates `generate` gets the error too, for the server stays paused.
        """
        with self._updating, weights_folder(self._served, weights, self._weights_place) as folder:
            # Two engines on one server, one after the other, must not share a label.
            label = f"{version}-{uuid.uuid4().hex[:8]}"
            self._versions[label] = version
            try:
                self._server.call(swap(self._server, folder, label, check=not self._arrived))
            except HalfWrittenError as error:
                self._broken = error
                for dispatch in list(self._open):
                    dispatch.fail(error)
                raise
            self.version, self._label, self._arrived = version, label, True

    def close(self) -> None:
        """Give up what is still asked for; the server goes on."""
        self._server.close()

    def _say_what_pads(self) -> None:
        """Name padding rows: no request can take them out of vLLM's raw log-probabilities."""
        rows, ids = self.vocab_size, self._tokenizer and self._tokenizer.vocab_size
        if ids and rows > ids:
            print(
                f"engine.url={self._server.url}: the served model has {rows:,} rows for its "
                f"tokenizer's {ids:,} ids; vLLM gives the other {rows - ids:,} a share of every "
                "probability, which native and hf do not",
                file=sys.stderr,
            )

    def _run(self, jobs: Iterable[Callable[[], Coroutine[Any, Any, T]]]) -> Iterator[T]:
        if self._broken is not None:
            raise self._broken
        dispatch = Dispatch(self._server.loop, jobs, self.concurrency)
        self._open.add(dispatch)
        yield from dispatch

    def _samples(
        self, requests: Iterable[GenerationRequest]
    ) -> Iterator[Callable[[], Coroutine[Any, Any, Completion]]]:
        for number, request in enumerate(requests):
            self._check(number, request.prompt_ids, request.max_new_tokens)
            self._check_stops(number, request)
            prompt = _Once(partial(self._prompt_logprobs, request.prompt_ids))
            for sample in range(request.n):
                yield partial(self._sample, number, sample, request, prompt)

    async def _sample(
        self, number: int, sample: int, request: GenerationRequest, prompt: _Once[list[float]]
    ) -> Completion:
        parameters = sampling_parameters(request, sample)
        (choice,) = (await self._generate(request.prompt_ids, parameters)).choices
        made = completion(number, sample, request, choice, self._versions, self._tokenizer)
        if request.prompt_logprobs:
            return replace(made, prompt_logprobs=list(await prompt()))
        return made

    async def _prompt_logprobs(self, ids: Sequence[int]) -> list[float]:
        """Read a prompt for its own log-probabilities: [len(ids) - 1]."""
        if len(ids) == 1:
            return []
        request = ScoreRequest(ids[:1], ids[1:])
        ((_, score),) = await self._read(readings([request])[0])
        return score.logprobs

    async def _read(self, reading: Reading) -> list[tuple[int, Score]]:
        answer = await self._generate(reading.prompt, reading.parameters())
        return list(scores(reading, answer))

    async def _generate(self, prompt: Sequence[int], parameters: Mapping[str, Any]) -> Generated:
        body = {"token_ids": [int(token) for token in prompt], "sampling_params": parameters}
        # Keys and values that other weights computed must not be found in the prefix cache.
        return await self._server.post(GENERATE, Generated, {**body, "cache_salt": self._label})

    def _check(self, number: int, prompt: Sequence[int], new: int) -> None:
        self._check_ids(number, "prompt", prompt)
        if new < 1:
            raise UserError(f"request {number}: {new} new tokens: expected at least 1")
        if len(prompt) + new > self.max_length:
            raise UserError(
                f"request {number}: {len(prompt)} tokens and {new} new ones are more than the "
                f"{self.max_length} that the served model takes"
            )

    def _check_stops(self, number: int, request: GenerationRequest) -> None:
        if request.n < 1:
            raise UserError(f"request {number}: n={request.n}: expected at least 1")
        if request.stop_ids:
            self._check_ids(number, "list of stop tokens", sorted(request.stop_ids))
        if request.stop_texts and self._tokenizer is None:
            raise UserError(f"request {number}: stop_texts need a tokenizer; the engine has none")
        if "" in request.stop_texts:
            raise UserError(f"request {number}: stop_texts: '' found, which would end everything")

    def _check_ids(self, number: int, what: str, ids: Sequence[int]) -> None:
        if len(ids) == 0:
            raise UserError(f"request {number}: the {what} has no tokens; expected at least one")
        if min(ids) < 0 or max(ids) >= self.vocab_size:
            wrong = next(i for i in ids if not 0 <= i < self.vocab_size)
            raise UserError(
                f"request {number}: token {wrong} found; expected ids from 0 to "
                f"{self.vocab_size - 1}"
            )


class _Once(Generic[T]):
    """A coroutine that several samples wait for and that runs once, if any does."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._task: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        if self._task is None:
            self._task = asyncio.create_task(self._make())
        return await self._task
