"""A server that speaks OpenAI's chat protocol: vLLM's, llama.cpp's, a hosted service.

What may pass (a busy server, a timeout, a broken answer) is asked again, later each time. What
concerns one question becomes its `Failure`; what concerns all of them ends the work in one line.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp
from pydantic import BaseModel, ValidationError

from olmoflow.errors import UserError
from olmoflow.inference.chat.speaker import Answer, Failure, Question, Reply, Unaskable
from olmoflow.inference.vllm.connection import Connection
from olmoflow.inference.vllm.connection import Reply as HTTPReply
from olmoflow.inference.vllm.dispatch import Dispatch

_PATH = "/chat/completions"
_LONGEST_WAIT = 60.0
# The server is there and does not want this client, or has no such thing: no question will do.
_REFUSES_ALL = frozenset({401, 402, 404, 405})
_MAY_PASS = frozenset({408, 409, 425, 429})


class _Message(BaseModel):
    content: str | None = None
    # Where a server parses the thinking out of an answer, under either name.
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    completion_tokens: int | None = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


class _Transient(Exception):  # noqa: N818  (caught here, never seen outside)
    """It may go better the next time.

    Args:
        reason: One line.
        wait: Seconds that the server asks for.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class ChatEndpoint:
    """A `Speaker` over HTTP.

    Args:
        url: Up to and with the version, such as ``http://127.0.0.1:8000/v1``.
        model: As the server calls it.
        api_key_env: The environment variable that holds the key; None: none is sent.
        concurrency: Questions that are open at once.
        timeout: Seconds until one answer has to be there.
        retries: How often a question is asked again after what may pass.
        backoff: Seconds before the first time, about; doubled each time, up to a minute. A
            server's Retry-After is heeded.
        thinking: ``keep`` puts what the server says apart as reasoning before the answer, between
            ``<think>`` and ``</think>``; ``drop`` leaves it out.
        begun_with: What the server's template begins each answer with and the server does not
            repeat, such as ``<think>``; put before each answer.
        limit_field: What the server calls the limit of tokens (``max_completion_tokens``).
        body: Fields added to every request; a null takes one out (``seed: null``).

    Raises:
        UserError: A setting has no meaning, or the variable is not set.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key_env: str | None = None,
        concurrency: int = 32,
        timeout: float = 600.0,
        retries: int = 6,
        backoff: float = 1.0,
        thinking: str = "keep",
        begun_with: str = "",
        limit_field: str = "max_tokens",
        body: Mapping[str, Any] | None = None,
    ) -> None:
        if not model:
            raise UserError(f"engine.model: missing; expected the name of a model of {url}")
        if thinking not in ("keep", "drop"):
            raise UserError(f"engine.thinking={thinking}: expected keep or drop")
        if concurrency < 1:
            raise UserError(f"engine.concurrency={concurrency}: expected at least 1")
        if retries < 0 or backoff < 0:
            raise UserError(
                f"engine.retries={retries}, engine.backoff={backoff}: expected 0 or more"
            )
        self.model, self.concurrency, self.thinking = model, concurrency, thinking
        self.retries, self.backoff, self.begun_with = retries, backoff, begun_with
        self.limit_field, self.body = limit_field, dict(body or {})
        self._server = Connection(url, timeout, _authorization(api_key_env))

    def answer(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """See `Speaker.answer`."""
        jobs = (partial(self._answer, number, each) for number, each in enumerate(questions))
        yield from Dispatch(self._server.loop, jobs, self.concurrency)

    def close(self) -> None:
        """End the connection."""
        self._server.close()

    async def _answer(self, number: int, question: Question) -> tuple[int, Reply]:
        if any(
            m.functions or m.function_calls or m.role == "environment" for m in question.messages
        ):
            return number, Unaskable("a message has functions, which an endpoint is not given")
        attempt = 0
        while True:
            try:
                return number, await self._ask(question)
            except _Transient as trouble:
                if attempt == self.retries:
                    return number, Failure(f"{trouble} ({attempt + 1} attempts)")
                wait = min(self.backoff * 2**attempt, _LONGEST_WAIT) * random.uniform(0.5, 1.0)
                await asyncio.sleep(max(wait, min(trouble.wait or 0.0, _LONGEST_WAIT)))
                attempt += 1
            except aiohttp.ClientConnectorError as error:
                if attempt == self.retries:
                    why = error.os_error.strerror or str(error)
                    raise UserError(
                        f"engine.url={self._server.url}: no server answers ({why})"
                    ) from None
                await asyncio.sleep(min(self.backoff * 2**attempt, _LONGEST_WAIT))
                attempt += 1

    async def _ask(self, question: Question) -> Reply:
        try:
            reply = await self._server.exchange("POST", _PATH, self._request(question))
        except aiohttp.ClientConnectorError:
            raise
        except TimeoutError:
            raise _Transient(f"no answer within {self._server.timeout:g} s") from None
        except aiohttp.ClientError as error:
            raise _Transient(f"the connection broke ({error or type(error).__name__})") from None
        if reply.status != 200:
            return self._refusal(reply)
        try:
            return self._read(_Completion.model_validate_json(reply.content))
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(map(str, first["loc"])) or "the whole"
            raise _Transient(f"malformed answer: {at}: {first['msg']}") from None

    def _request(self, question: Question) -> dict[str, Any]:
        sampling = question.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in question.messages],
            self.limit_field: question.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": question.seed,
        }
        if sampling.top_k is not None:  # no part of OpenAI's own protocol
            body["top_k"] = sampling.top_k
        return {key: value for key, value in (body | self.body).items() if value is not None}

    def _refusal(self, reply: HTTPReply) -> Reply:
        said = f"status {reply.status}: {reply.said()}"
        if reply.status in _REFUSES_ALL:
            raise UserError(f"engine.url={self._server.url}, model {self.model}: {said}")
        if reply.status in _MAY_PASS or reply.status >= 500:
            raise _Transient(said, _seconds(reply.headers.get("Retry-After")))
        return Failure(said)

    def _read(self, completion: _Completion) -> Reply:
        if not completion.choices:
            raise _Transient("malformed answer: it has no choices")
        choice = completion.choices[0]
        if choice.finish_reason not in ("stop", "length"):
            return Failure(f"the server gave up ({choice.finish_reason})")
        tokens = completion.usage.completion_tokens if completion.usage else None
        text = self._text(choice.message, cut=choice.finish_reason == "length")
        return Answer(text, tokens, "stop" if choice.finish_reason == "stop" else "length")

    def _text(self, message: _Message, *, cut: bool) -> str:
        said, thought = message.content or "", message.reasoning_content or message.reasoning
        if not thought:
            return self.begun_with + said
        if self.thinking == "drop":
            return said.lstrip()  # what stands between the two goes as well
        # A limit may fall within the thinking; what is unclosed must show as such.
        return f"<think>{thought}" if cut and not said else f"<think>{thought}</think>{said}"


def _authorization(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        raise UserError(f"engine.api_key_env={variable}: the environment has no such variable")
    return {"Authorization": f"Bearer {key}"}


def _seconds(value: str | None) -> float | None:
    """What a Retry-After says; its other form, a date, is left to the backoff."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
