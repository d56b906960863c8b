"""Work that is taken from an iterable as places become free, and comes back as it finishes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from olmoflow.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class _Finished(Generic[T]):
    result: T


@dataclass(frozen=True)
class _AllTaken:
    jobs: int


class Dispatch(Generic[T]):
    """Runs jobs in an event loop, so many at a time.

    A thread of its own takes the jobs, so what has finished is handed on even while the iterable
    blocks. The first failure, of a job or of the iterable, ends everything; so does a consumer that
    goes away.

    Args:
        loop: Runs in another thread.
        jobs: May be endless; each is called once, in the taking thread.
        places: Jobs at a time.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        jobs: Iterable[Callable[[], Coroutine[Any, Any, T]]],
        places: int,
    ) -> None:
        self._loop, self._jobs = loop, jobs
        self._free = threading.Semaphore(places)
        self._events = SimpleQueue[_Finished[T] | _AllTaken | BaseException]()
        self._running = set[Future[T]]()
        self._lock = threading.Lock()
        self._stopped = False

    def __iter__(self) -> Iterator[T]:
        threading.Thread(target=self._take, name="dispatch", daemon=True).start()
        finished, total = 0, None
        try:
            while finished != total:
                event = self._events.get()
                if isinstance(event, _AllTaken):
                    total = event.jobs
                elif isinstance(event, BaseException):
                    raise event
                else:
                    finished += 1
                    yield event.result
        finally:
            self._stop()

    def fail(self, error: BaseException) -> None:
        """Let the consumer see an error that no job raised."""
        self._events.put(error)

    def _take(self) -> None:
        taken = 0
        try:
            jobs = iter(self._jobs)
            # The place first: a job is not taken before it can start.
            while self._free.acquire() and not self._stopped:
                try:
                    job = next(jobs)
                except StopIteration:
                    self._events.put(_AllTaken(taken))
                    return
                self._start(job)
                taken += 1
        except BaseException as error:
            self._events.put(error)

    def _start(self, job: Callable[[], Coroutine[Any, Any, T]]) -> None:
        with self._lock:
            if self._stopped:
                return
            future = asyncio.run_coroutine_threadsafe(job(), self._loop)
            self._running.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[T]) -> None:
        with self._lock:
            self._running.discard(future)
        if future.cancelled():  # by `_stop`, whose consumer is gone, or with the whole loop
            self._events.put(UserError("the engine was closed while it was in use"))
        else:
            error = future.exception()
            self._events.put(_Finished(future.result()) if error is None else error)
        self._free.release()

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            running = list(self._running)
        self._free.release()  # wakes the thread that waits for a place
        for future in running:
            future.cancel()
