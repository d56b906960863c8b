"""Judging in processes that may hang, crash or run out of memory.

- each answer has a deadline of its own; a worker that passes it is killed and replaced, and the
  other answers do not notice
- each worker may take so much memory; what needs more is an error that says so
- workers start when the first answer comes, serve many, and die with the process that owns them
- a worker is forked from a server that can have its imports done already, so that a replacement is
  there in a moment
- no signals in the caller, so it may be called from any thread
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as DeadlinePassed
from typing import TYPE_CHECKING, Any

from olmoflow.errors import UserError
from olmoflow.verifiers.verdict import Answer, Verdict

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from pebble import ProcessFuture, ProcessPool

Judge = Callable[[str, Any], Verdict]
"""Text and reference to verdict. Workers are handed it by pickle: a function of a module, or a
`functools.partial` of one."""


class JudgePool:
    """Worker processes that all run one judge.

    Args:
        judge: What judges an answer.
        warm: Run once in each new worker, outside any deadline: imports.
        workers: How many processes.
        deadline: Seconds for one answer.
        memory_mb: What a worker may take beyond what it has after `warm`, in MB.
        confined: Workers may read the interpreter and its packages, and do nothing to anything
            outside themselves (Landlock and seccomp): for judges that evaluate what they are given.
        preload: A module that the server which forks the workers imports, so that all that it
            imports is in each of them from the start. Pools share that server, which starts with
            the first of them that judges, and imports what was asked for until then.
    """

    def __init__(
        self,
        judge: Judge,
        *,
        warm: Callable[[], None],
        workers: int,
        deadline: float,
        memory_mb: int,
        confined: bool = False,
        preload: str | None = None,
    ) -> None:
        for name, value in {
            "workers": workers,
            "deadline": deadline,
            "memory_mb": memory_mb,
        }.items():
            if value <= 0:
                raise UserError(f"{name}: found {value}, expected more than 0")
        if preload is not None and preload not in _preloads:
            _preloads.append(preload)
        self._judge = judge
        self._warm = warm
        self._workers = workers
        self._deadline = deadline
        self._memory_mb = memory_mb
        self._confined = confined
        self._pool: ProcessPool | None = None
        self._lock = threading.Lock()

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer, in their order.

        Raises:
            UserError: Workers cannot start, for want of a package.
        """
        if not answers:
            return []
        pool = self._started()
        futures = [
            pool.schedule(
                _run, args=[self._judge, answer.text, answer.reference], timeout=self._deadline
            )
            for answer in answers
        ]
        return [self._verdict(future) for future in futures]

    def close(self) -> None:
        """End the workers; a later `judge` starts new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()

    def _started(self) -> ProcessPool:
        import multiprocessing

        try:
            from pebble import ProcessPool
        except ImportError as error:
            raise UserError(f"verifier: {error}; pip install 'olmoflow[verifiers]'") from error

        with self._lock:
            if self._pool is None:
                # A fork of this process would carry its threads' locks and its GPU with it.
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(list(_preloads))
                self._pool = ProcessPool(
                    max_workers=self._workers,
                    context=context,
                    initializer=_prepare,
                    initargs=[self._warm, self._memory_mb, self._confined],
                )
            return self._pool

    def _verdict(self, future: ProcessFuture[Any]) -> Verdict:
        from pebble import ProcessExpired

        try:
            verdict = future.result()
            return verdict if isinstance(verdict, Verdict) else _failed(f"no verdict: {verdict!r}")
        except DeadlinePassed:
            return Verdict(0.0, "timeout", detail=f"no verdict within {self._deadline:g} s")
        except MemoryError:
            return _failed(f"out of memory: a verdict may take {self._memory_mb} MB")
        except WorkerError as problem:
            raise UserError(
                f"verifier: its workers cannot start: {problem}; pip install 'olmoflow[verifiers]'"
            ) from None
        except ProcessExpired as died:
            return _failed(f"the worker died with exit code {died.exitcode}")
        except Exception as problem:
            return _failed(f"{type(problem).__name__}: {problem}")


_preloads = ["__main__"]
"""What the server imports: Python's own choice, and what pools have asked for."""


class WorkerError(Exception):
    """A worker could not be prepared."""


def _failed(detail: str) -> Verdict:
    return Verdict(0.0, "error", detail=" ".join(detail.split())[:300])


_problem: str | None = None
"""In a worker: why it could not be prepared. One that failed here would be replaced for ever."""


def _run(judge: Judge, text: str, reference: Any) -> Verdict:
    """In a worker: judge one answer."""
    if _problem is not None:
        raise WorkerError(_problem)
    return judge(text, reference)


def _prepare(warm: Callable[[], None], memory_mb: int, confined: bool) -> None:
    """In a new worker: tie it to its owner, import, then limit and confine it."""
    global _problem
    try:
        _die_with_owner()
        warm()
        _limit_memory(memory_mb)
        if confined:
            _confine()
    except Exception as problem:
        _problem = f"{type(problem).__name__}: {problem}"


def _limit_memory(memory_mb: int) -> None:
    import resource

    limit = _address_space() + memory_mb * 10**6
    # macOS knows this limit but does not hold to it.
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _confine() -> None:
    import sys

    from olmoflow.verifiers.sandbox.confine import calls_only, files_only
    from olmoflow.verifiers.sandbox.surroundings import readable

    files_only([*readable(), *filter(os.path.isdir, sys.path)], [])
    calls_only()


def _die_with_owner() -> None:
    """Have this process end when the one that owns the pool does, whatever it is doing.

    The owner holds one end of a pipe, and its end closes with it. Told of that by SIGIO, whose
    default is to terminate, a worker dies even within a C function that never returns to Python.
    (PR_SET_PDEATHSIG would wait for the fork server, which lives as long as its children.)
    """
    import fcntl
    import multiprocessing
    import select
    import signal
    import sys

    owner = multiprocessing.parent_process()
    assert owner is not None
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(owner.sentinel, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(owner.sentinel, fcntl.F_GETFL)
        fcntl.fcntl(owner.sentinel, fcntl.F_SETFL, flags | os.O_ASYNC)
        if select.select([owner.sentinel], [], [], 0)[0]:  # it was faster
            os._exit(1)
    else:
        threading.Thread(target=_end_after, args=[owner], daemon=True).start()


def _end_after(owner: BaseProcess) -> None:
    owner.join()
    os._exit(1)


def _address_space() -> int:
    """Bytes of address space that this process has now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123 (pathlib imports much)
            return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0
