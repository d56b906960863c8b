"""Starts the ranks of a run on this machine, and makes sure that they end with it.

The ranks start from the run folder's saved config, never from a replayed command line: under a
sweep a replay would run the whole sweep in every rank. The parent imports neither torch nor
Lightning; it forwards signals and reads what happened from files.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

OUTCOME = "outcome.json"
_PR_SET_PDEATHSIG = 1
# Ranks save a checkpoint when they are told to stop; torchrun must not kill them meanwhile.
_SHUTDOWN_SECONDS = 600


def launch(module: str, run_dir: Path, processes: int) -> dict[str, Any]:
    """Run ``python -m MODULE RUN_DIR`` as so many ranks under torchrun and wait for them.

    Returns:
        What rank 0 left in ``RUN_DIR/outcome.json``.

    Raises:
        RuntimeError: A rank failed; the message is the first failure.
        KeyboardInterrupt: The ranks were interrupted and left nothing.
    """
    outcome, logs = run_dir / OUTCOME, run_dir / "logs"
    outcome.unlink(missing_ok=True)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", f"--shutdown-timeout={_SHUTDOWN_SECONDS}"]
    command += [f"--log-dir={logs}", "-m", module, str(run_dir)]
    environment = {**os.environ}
    # Without this torchrun gives each rank one thread, whatever the machine has.
    threads = max(1, (os.cpu_count() or 1) // processes)
    environment.setdefault("OMP_NUM_THREADS", str(threads))
    agent = subprocess.Popen(command, env=environment, preexec_fn=die_with_parent)
    with agent, _forwarded_to(agent) as received:
        status = agent.wait()
    if outcome.is_file():
        # torchrun reports failure after a forwarded signal even if every rank saved and ended well.
        result: dict[str, Any] = json.loads(outcome.read_text())
        return result
    if received:
        raise KeyboardInterrupt
    raise RuntimeError(_first_error(logs) or f"the ranks ended with status {status}; see {logs}")


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, however the parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def _forwarded_to(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    received: list[int] = []

    def forward(number: int, _: FrameType | None) -> None:
        received.append(number)
        process.send_signal(number)

    before = {s: signal.signal(s, forward) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_error(logs: Path) -> str | None:
    """The earliest of the errors that the ranks recorded: the others follow from it."""
    errors = []
    for file in logs.rglob("error.json"):
        record = json.loads(file.read_text())["message"]
        if isinstance(record, dict):
            errors.append((int(record["extraInfo"]["timestamp"]), str(record["message"])))
    return min(errors)[1] if errors else None
