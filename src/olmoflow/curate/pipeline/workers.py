"""Units of work handed to Daft, which runs them here or on a Ray cluster.

Daft sees one row a unit: a shard's path, not its text. Documents never pass through a scheduler or
an object store; each worker reads a shard, works on it and writes one. A unit's account is written
last, by rename, beside its shards, so a unit is finished or it is done again, by whichever
process. The folder must be reachable by all workers.

On one machine a worker is a process or a thread. A process takes a second to import what it needs,
a thread shares Python's lock: threads serve a pass that is mostly compiled work, up to a size.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

from olmoflow.digests import write_json
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError

Runner = Literal["native", "ray"]
# A worker that was killed takes its unit with it; the rest is tried again so many times.
_ATTEMPTS = 3
# A disk that is full or must not be written: the user can mend that.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
# Files of no more than this are not worth processes, whatever is done with them: one thread.
SMALL_BYTES = 4 << 20
# In a pass's folder: no unit is to be begun.
_STOP = "stop"
# Daft takes one runner a process.
_started: list[Runner] = []


class Spec(Protocol):
    """The settings of a pass, with the folder in which its units leave their accounts."""

    @property
    def folder(self) -> Path:
        """Where shards and accounts go."""
        ...

    @property
    def threads_up_to(self) -> int:
        """Bytes of files up to which threads do the work sooner than processes; 0: never."""
        ...


def account_file(folder: Path, number: int) -> Path:
    """Where a unit's account is."""
    return folder / f"{number:05d}.json"


def start_runner(runner: Runner, address: str | None = None) -> int:
    """Choose how Daft works, once a process.

    Args:
        runner: ``native``: processes of this machine; ``ray``: a cluster.
        address: Of the Ray cluster; None: ``RAY_ADDRESS``, else one of this machine alone.

    Returns:
        How many cores there are to work with.

    Raises:
        UserError: The package is missing, the cluster does not answer, or Daft works otherwise
            already.
    """
    if _started:
        if _started != [runner]:
            raise UserError(f"runner={runner}: this process works with {_started[0]} already")
        return _cores(runner)
    # Daft reports to its makers unless it is told not to.
    os.environ.setdefault("DAFT_ANALYTICS_ENABLED", "0")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    try:
        import daft
    except ImportError as error:
        raise UserError(f"{error}; this needs daft: pip install 'olmoflow[curate]'") from error
    # What goes wrong is raised, and told in one line; Daft tells it on standard error as well.
    logging.getLogger("daft_local_execution").setLevel(logging.CRITICAL)
    if runner == "native":
        os.environ["DAFT_RUNNER"] = runner  # if it has not begun yet: it must not be told twice
        if (found := daft.get_or_create_runner().name) != runner:
            raise UserError(f"runner={runner}: this process works with {found} already")
        _started.append(runner)
        return _cores(runner)
    try:
        import ray

        if not ray.is_initialized():
            given = {k: v for k, v in os.environ.items() if k == "PYTHONPATH"}
            ray.init(
                address=address or os.environ.get("RAY_ADDRESS"),
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=True,
                runtime_env={"env_vars": given},  # workers find what this process finds
            )
        daft.set_runner_ray()
        _started.append(runner)
    except (ImportError, ConnectionError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"runner=ray: {line}; expected a Ray cluster that answers") from error
    return _cores(runner)


def _cores(runner: Runner) -> int:
    if runner == "native":
        return usable_cores()
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))


def run_units(
    worker: type, spec: Spec, units: Sequence[dict[str, Any]], workers: int, runner: Runner
) -> Iterator[int]:
    """Work on the units that have no account yet; yields the number of each as it is finished.

    Args:
        worker: A class with ``worker(spec).work(unit)``, which returns plain values.
        spec: The same for all units.
        units: Plain values, each with its ``number`` and the ``bytes`` of its files.
        workers: Processes or threads that work at the same time.
        runner: As it was started.

    Raises:
        RuntimeError: A worker met a fault of ours.
        UserError: A worker met a mistake of the user's, or the disk is full.
    """
    spec.folder.mkdir(parents=True, exist_ok=True)
    (spec.folder / _STOP).unlink(missing_ok=True)
    for attempt in range(_ATTEMPTS):
        left = [u for u in units if not account_file(spec.folder, u["number"]).is_file()]
        if not left:
            return
        try:
            yield from _run(worker, spec, left, workers, runner)
        except (RuntimeError, ConnectionError) as error:
            if not _worker_died(error):
                raise
            if attempt == _ATTEMPTS - 1:
                raise RuntimeError(
                    f"workers died {_ATTEMPTS} times over this work: killed, or short of memory; "
                    "the same command resumes"
                ) from error
            print("olmoflow: a worker died; its work is done again", file=sys.stderr)


def _run(
    worker: type, spec: Spec, units: Sequence[dict[str, Any]], workers: int, runner: Runner
) -> Iterator[int]:
    import daft

    frame = daft.from_pydict({"unit": [json.dumps(u) for u in units]})
    at_once = max(1, min(workers, len(units)))
    size = sum(u["bytes"] for u in units)
    if runner == "native" and size <= max(SMALL_BYTES, spec.threads_up_to):
        work = _threads(pickle.dumps((worker, spec)), at_once if spec.threads_up_to else 1)
    else:
        work = _processes(pickle.dumps((worker, spec)), at_once)
        if runner == "ray":
            frame = frame.into_partitions(min(4 * at_once, len(units)))
    rows = frame.select(work(frame["unit"]).alias("done")).iter_rows()
    try:
        for row in rows:
            done = json.loads(row["done"])
            if "user_error" in done:
                raise UserError(done["user_error"])
            if "fault" in done:
                raise RuntimeError(done["fault"])
            yield int(done["number"])
    finally:
        _end(rows, spec.folder / _STOP)
        _actors.clear()


def _end(rows: Iterator[Any], stop: Path) -> None:
    """Let the units at work end and the others be passed over.

    A query that is dropped leaves threads behind, over which Python stumbles when it exits.
    """
    with suppress(OSError):
        stop.touch()
    with suppress(Exception):
        for _ in rows:
            pass
    stop.unlink(missing_ok=True)


def _threads(pickled: bytes, number: int) -> Any:
    import daft

    @daft.func.batch(return_dtype=daft.DataType.string(), batch_size=1, use_process=False)
    def work(units: Any) -> list[str]:
        return _work_here(pickled, number, units.to_pylist())

    return work


def _work_here(pickled: bytes, threads: int, units: list[str]) -> list[str]:
    """Work in threads of Python's own.

    Daft's threads get and lose Python's state with every call. With all libraries of the web recipe
    at work, fastText among them, that ended in a crash in one of the next calls.
    """
    return _pool(threads).submit(_work_on, pickled, units).result()


def _work_on(pickled: bytes, units: list[str]) -> list[str]:
    actor = _actors.setdefault((threading.get_ident(), pickled), Actor(pickled))
    return actor.work_on(units)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


# Of the query at work, one a thread.
_actors: dict[tuple[int, bytes], Actor] = {}


def _processes(pickled: bytes, number: int) -> Any:
    import daft

    class UnitActor(Actor):
        @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)
        def work(self, units: Any) -> list[str]:
            return self.work_on(units.to_pylist())

    pool: Any = daft.cls(max_concurrency=number, use_process=True)(UnitActor)
    return pool(pickled).work


def _worker_died(error: Exception) -> bool:
    """Whether this is what Daft raises then; which of them depends on when the worker died."""
    if isinstance(error, ConnectionError):
        return True
    return any(said in str(error) for said in ("closed the connection", "process has terminated"))


class Actor:
    """What a worker process holds: the pass's settings and the operations built from them."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled
        self._worker: Any = None
        self._spec: Any = None

    def work_on(self, units: Sequence[str]) -> list[str]:
        """Work on units, one JSON object each, and say how it went."""
        return [json.dumps(self._one(json.loads(u))) for u in units]

    def _one(self, unit: dict[str, Any]) -> dict[str, Any]:
        try:
            if self._worker is None:
                worker, self._spec = pickle.loads(self._pickled)
                self._worker = worker(self._spec)
            if (self._spec.folder / _STOP).exists():
                return {}
            found = self._worker.work(unit)
            write_json(account_file(self._spec.folder, unit["number"]), found)
        except UserError as error:
            return {"user_error": str(error)}
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                return {"fault": f"{type(error).__name__}: {error}\n{traceback.format_exc()}"}
            return {"user_error": disk_error(error, self._spec.folder)}
        except Exception as error:
            return {"fault": f"{type(error).__name__}: {error}\n{traceback.format_exc()}"}
        return {"number": unit["number"]}


def disk_error(error: OSError, folder: Path) -> str:
    """One line about a disk that is full or must not be written."""
    where = error.filename or folder
    return f"{where}: {error.strerror}; make room and run the same command again, which resumes"
