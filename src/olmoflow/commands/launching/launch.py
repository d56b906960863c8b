"""Starts the ranks of a run, here or in a SLURM allocation, and makes sure that they end with it.

The ranks start from the run folder's saved config, never from a replayed command line: under a
sweep a replay would run the whole sweep in every rank. The parent imports neither torch nor
Lightning; it forwards signals and reads what happened from files.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from olmoflow.artifact import home
from olmoflow.commands.launching.slurm.script import JobPlace, container_arguments, rank_python
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError

OUTCOME = "outcome.json"
_PR_SET_PDEATHSIG = 1
# Ranks save a checkpoint when they are told to stop; torchrun must not kill them meanwhile.
_SHUTDOWN_SECONDS = 600
_MISTAKE = f"{UserError.__name__}: "  # as torch records it


class OutOfTime(KeyboardInterrupt):
    """A cluster announced that the run's time ends; the same command goes on from there.

    Attributes:
        steps: Steps done and saved; None: it had not come so far.
    """

    def __init__(self, steps: int | None) -> None:
        super().__init__(f"stopped at step {steps}")
        self.steps = steps


def launch(module: str, run_dir: Path, cluster: Mapping[str, Any], processes: int) -> Any:
    """Run ``python -m MODULE RUN_DIR`` as so many ranks and wait for them.

    Args:
        module: What a rank runs.
        run_dir: Holds the run's config.
        cluster: The config's ``cluster`` node: srun within a SLURM job, else torchrun.
        processes: Ranks.

    Returns:
        What rank 0 left in ``RUN_DIR/outcome.json``.

    Raises:
        UserError: A rank found a mistake in the input.
        RuntimeError: A rank failed; the message is the first failure.
        OutOfTime: The cluster stopped the ranks before they had anything to leave.
        KeyboardInterrupt: The ranks were interrupted and left nothing.
    """
    outcome, logs = run_dir / OUTCOME, run_dir / "logs"
    outcome.unlink(missing_ok=True)
    logs.mkdir(exist_ok=True)
    signals = [signal.SIGINT, signal.SIGTERM]
    if cluster["name"] == "slurm":
        command, environment = _srun(cluster, processes)
        signals.append(signal.SIGUSR1)
    else:
        command, environment = _torchrun(logs, processes)
    started = time.time()
    child = subprocess.Popen(
        [*command, "-m", module, str(run_dir)], env=environment, preexec_fn=die_with_parent
    )
    with child, _forwarded_to(child, signals) as received:
        status = child.wait()
    if outcome.is_file():
        # torchrun reports failure after a forwarded signal even if every rank saved and ended well.
        return json.loads(outcome.read_text())
    if signal.SIGUSR1 in received:
        raise OutOfTime(None)
    if received:
        raise KeyboardInterrupt
    error = _first_error(logs, started)
    if error and error.startswith(_MISTAKE):
        raise UserError(error.removeprefix(_MISTAKE))
    raise RuntimeError(error or f"the ranks ended with status {status}; see {logs}")


def _torchrun(logs: Path, processes: int) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", f"--shutdown-timeout={_SHUTDOWN_SECONDS}"]
    environment = {**os.environ}
    # Without this torchrun gives each rank one thread, whatever the machine has.
    threads = max(1, usable_cores() // processes)
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    return [*command, f"--log-dir={logs}"], environment


def _srun(cluster: Mapping[str, Any], processes: int) -> tuple[list[str], dict[str, str]]:
    # The batch host, where this runs, is the first node and so has rank 0.
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "MASTER_ADDR": node,
        "MASTER_PORT": str(port),
        "LOCAL_WORLD_SIZE": str(cluster["tasks_per_node"]),
    }
    environment.setdefault("OMP_NUM_THREADS", str(cluster["cpus_per_task"]))
    command = ["srun", f"--nodes={cluster['nodes']}", f"--ntasks={processes}"]
    command += [f"--ntasks-per-node={cluster['tasks_per_node']}"]
    # srun does not take this from the job.
    command += [f"--cpus-per-task={cluster['cpus_per_task']}", "--kill-on-bad-exit=1"]
    job_folder = Path(environment["OLMOFLOW_LOG"]).parents[1]
    command += container_arguments(cluster, JobPlace(job_folder, home(), Path.cwd()))
    return [*command, rank_python(cluster), "-P"], environment


def run_rank(work: Callable[[Path], object]) -> None:
    """In a process that `launch` started: do a rank's work in the folder of the command line.

    What the work raises is left where the parent finds it.
    """
    from torch.distributed.elastic.multiprocessing.errors import record

    folder = Path(sys.argv[1])
    _rank_from_srun(folder)
    if "SLURM_STEP_ID" not in os.environ:  # SLURM ends its tasks itself
        die_with_parent()
    record(work)(folder)


def _rank_from_srun(run_dir: Path) -> None:
    """Within an srun task, set what torchrun would set for a rank; nothing elsewhere."""
    if "RANK" in os.environ or "SLURM_PROCID" not in os.environ:
        return
    rank = os.environ["SLURM_PROCID"]
    os.environ.update(
        RANK=rank,
        LOCAL_RANK=os.environ["SLURM_LOCALID"],
        GROUP_RANK=os.environ["SLURM_NODEID"],
        WORLD_SIZE=os.environ["SLURM_NTASKS"],
        TORCHELASTIC_ERROR_FILE=str(run_dir / "logs" / f"rank-{rank}-error.json"),
    )


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, however the parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _forwarded_to(
    process: subprocess.Popen[bytes], signals: Sequence[signal.Signals]
) -> Iterator[list[int]]:
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        process.send_signal(number)

    before = {s: signal.signal(s, forward) for s in signals}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_error(logs: Path, since: float) -> str | None:
    """The earliest of the errors that the ranks recorded: the others follow from it."""
    errors = []
    for file in logs.rglob("*error.json"):
        written = file.stat().st_mtime  # the record's own time is in whole seconds
        if written < since:  # of an earlier start of the run
            continue
        record = json.loads(file.read_text())["message"]
        if isinstance(record, dict):
            errors.append((written, str(record["message"])))
    return min(errors)[1] if errors else None
