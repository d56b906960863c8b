"""What runs in the allocation: ``python -m olmoflow.commands.launching.slurm.job JOB_FOLDER CELL``.

It runs the command from the composed config that the submission saved; `commands.launching.launch`
starts the ranks, where there are several, with srun. When SLURM announces the time limit, train
saves and the job queues up again: the same id, the same folder, the same command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import yaml

from olmoflow.commands.command_line.groups import record_job
from olmoflow.commands.command_line.hydra_app import run_composed
from olmoflow.commands.launching.launch import OutOfTime
from olmoflow.commands.main import guarded
from olmoflow.digests import write_json
from olmoflow.environment import slurm_record


def run_cell(folder: Path, number: str) -> int:
    """Run one cell of a job folder and return the exit status.

    Raises:
        RuntimeError: The job was stopped twice at the same step, so queueing again leads nowhere.
    """
    cell = yaml.safe_load((folder / "cells" / f"{number}.yaml").read_text())
    outcome = folder / "cells" / f"{number}.json"
    job = slurm_record() or {"job_id": "none", "nodes": "this machine", "restarts": 0}
    print(
        f"olmoflow {cell['command']}, job {job['job_id']} on {job['nodes']}, "
        f"start {job['restarts'] + 1}: {' '.join(cell['overrides'])}",
        file=sys.stderr,
        flush=True,
    )

    def leave(came_of_it: dict[str, Any]) -> None:
        record = {"overrides": cell["overrides"], **came_of_it}
        write_json(outcome, {**record, "slurm": job})
        if group := cell["config"].get("group"):
            record_job(group, cell["command"], record)

    try:
        result = run_composed(cell["command"], cell["config"], cell["overrides"])
    except OutOfTime as stop:
        if not cell["config"]["cluster"]["requeue"]:
            raise
        _requeue(folder / "cells" / f"{number}.stopped", stop.steps, job["job_id"])
        return 0
    except Exception as error:
        leave({"status": "failed", "error": str(error)})
        raise
    leave({"status": "finished", "result": result})
    return 0


def _requeue(stopped: Path, steps: int | None, job_id: str) -> None:
    before, now = stopped.read_text() if stopped.exists() else None, str(steps)
    if now == before:
        raise RuntimeError(
            f"stopped twice at step {now}: nothing is done between start and signal; expected a "
            "longer cluster.time or a shorter cluster.signal_seconds"
        )
    stopped.write_text(now)
    print(f"olmoflow: saved at step {now}; queueing again", file=sys.stderr, flush=True)
    # Of an array, JOB_CELL is this cell alone; the plain id of the last cell is the whole array's.
    subprocess.run(["scontrol", "requeue", job_id], check=True)


def _out_of_time(number: int, _: FrameType | None) -> NoReturn:
    # Before the ranks have started; they, and the trainer, have handlers of their own.
    raise OutOfTime(None)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _out_of_time)
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(guarded(lambda: run_cell(Path(sys.argv[1]), sys.argv[2])))
