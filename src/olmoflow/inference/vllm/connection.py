"""One server over HTTP: an event loop in a thread, through which every request goes.

aiohttp, which `fsspec[http]` brings anyway, because hundreds of samples are open at once and each
may last minutes: it holds such connections at little cost, and closing one tells vLLM to stop.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ValidationError

from olmoflow.errors import UserError

T = TypeVar("T")
AnswerT = TypeVar("AnswerT", bound=BaseModel)
_CONNECT_SECONDS = 10.0


class NotServedError(UserError):
    """The server has no such endpoint."""


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes:
        status: Of HTTP.
        content: The body.
        headers: By name, in any case.
    """

    status: int
    content: bytes
    headers: Mapping[str, str]

    def said(self) -> str:
        """What an error says, in one line of at most 500 characters."""
        try:
            parsed = json.loads(self.content)
            error = parsed.get("error", parsed.get("detail", parsed))
            said = error.get("message", error) if isinstance(error, dict) else error
        except (ValueError, AttributeError):
            said = self.content.decode(errors="replace")
        return " ".join(str(said).split())[:500]


class Connection:
    """A server that speaks HTTP and JSON.

    Args:
        url: Such as ``http://127.0.0.1:8000``.
        timeout: Seconds until an answer has to be there.
        headers: Sent with every request.

    Attributes:
        loop: Runs in a thread of its own until `close`.

    Raises:
        UserError: The URL is none.
    """

    def __init__(self, url: str, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"engine.url={url}: expected a URL such as http://127.0.0.1:8000")
        if not timeout > 0:
            raise UserError(f"engine.timeout={timeout}: expected seconds, more than 0")
        self.url, self.timeout = url.rstrip("/"), timeout
        self.loop = asyncio.new_event_loop()
        self._closed, self._closing = False, threading.Lock()
        self._thread = threading.Thread(target=self.loop.run_forever, name=url, daemon=True)
        self._thread.start()
        self._session = self.call(self._open(headers or {}))

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def get(self, path: str, answer: type[AnswerT]) -> AnswerT:
        """GET, with the answer checked; raises as `post` does."""
        return await self._request("GET", path, answer, None)

    async def post(self, path: str, answer: type[AnswerT], body: Any = None) -> AnswerT:
        """POST, with the answer checked.

        Args:
            path: Below the server's URL.
            answer: What the JSON that comes back has to hold; it may hold more.
            body: Sent as JSON.

        Raises:
            NotServedError: The server has no such endpoint.
            UserError: The server is not there, goes away, takes too long, refuses the request, or
                answers in another form.
        """
        return await self._request("POST", path, answer, body)

    def close(self) -> None:
        """End what still runs, and the thread."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        self.call(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _open(self, headers: Mapping[str, str]) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=self.timeout, sock_connect=_CONNECT_SECONDS)
        # How many requests are open at once is the callers' business. uvicorn closes connections
        # that were idle for 5 seconds.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)

    async def _end(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._session.close()

    async def exchange(self, method: str, path: str, body: Any = None) -> Reply:
        """Whatever the server answers; asked once more where a connection broke.

        The server may close an idle connection at the moment when it is taken for the next
        request. Asking again is safe: every request says all that its answer depends on.

        Raises:
            aiohttp.ClientError: There is no answer.
            TimeoutError: It takes too long.
        """
        try:
            return await self._exchange_once(method, path, body)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as broken:
            try:
                return await self._exchange_once(method, path, body)
            except aiohttp.ClientConnectorError:
                raise broken from None

    async def _exchange_once(self, method: str, path: str, body: Any) -> Reply:
        async with self._session.request(method, self.url + path, json=body) as response:
            return Reply(response.status, await response.read(), response.headers)

    async def _request(self, method: str, path: str, answer: type[AnswerT], body: Any) -> AnswerT:
        try:
            reply = await self.exchange(method, path, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._failure(path, error) from None
        where = f"{self.url}{path}"
        if reply.status != 200:
            raise _refusal(where, reply)
        try:
            return answer.model_validate_json(reply.content)
        except ValidationError as error:
            first = error.errors()[0]
            at = ".".join(map(str, first["loc"])) or "the whole"
            raise UserError(
                f"{where}: not the answer of a vLLM 0.32 server: {at}: {first['msg']}"
            ) from None

    def _failure(self, path: str, error: Exception) -> UserError:
        """What came instead of an answer, in one line."""
        absent = f"engine.url={self.url}: no server answers"
        if isinstance(error, aiohttp.ClientConnectorError):
            why = error.os_error.strerror or str(error)
            return UserError(f"{absent} ({why}); `./just vllm NAME` starts one")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return UserError(f"{absent} within {_CONNECT_SECONDS:g} s")
        if isinstance(error, TimeoutError):
            return UserError(
                f"{self.url}{path}: no answer within engine.timeout={self.timeout:g} s"
            )
        why = str(error) or type(error).__name__
        return UserError(f"{self.url}{path}: the server went away ({why}); its log says why")


def _refusal(where: str, reply: Reply) -> UserError:
    said = reply.said()
    text = f"{where}: status {reply.status}: {said}"
    # A model that the server lacks is a 404 as well, but not of FastAPI's router.
    lacks = reply.status == 404 and said == "Not Found"
    return NotServedError(text) if lacks else UserError(text)
