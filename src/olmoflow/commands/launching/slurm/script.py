"""The sbatch script: everything that SLURM is asked for and everything that runs, on one page."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# `exec` makes Python the batch shell, the one process that --signal=B: reaches. -P keeps the
# working folder out of the import path: the code is the snapshot's.
TEMPLATE = """\
#!/bin/bash
{directives}

{setup}# A requeued job starts here again and resumes.
cell=${{SLURM_ARRAY_TASK_ID:-{cell}}}
export OLMOFLOW_HOME={home}
export OLMOFLOW_LOG={folder}/logs/$cell.out
export PYTHONPATH={folder}/code/src${{PYTHONPATH:+:$PYTHONPATH}}
exec {command} {folder} "$cell"
"""
JOB_MODULE = "olmoflow.commands.launching.slurm.job"
# The commands whose work can be cut at any moment and loses nothing: they are told before the time
# limit, save, and queue up again. Another would begin anew each time, for ever.
SAVES = frozenset({"train"})


@dataclass(frozen=True)
class JobPlace:
    """The folders of a job.

    Attributes:
        folder: The job folder, with the cells, the code and the logs.
        home: The artifacts.
        work: The working folder, to which relative paths refer.
    """

    folder: Path
    home: Path
    work: Path


def sbatch_script(
    command: str, cluster: Mapping[str, Any], cells: Sequence[int], place: JobPlace
) -> str:
    """The script of a job, or of the job array of a sweep.

    Args:
        command: The olmoflow command.
        cluster: The config's ``cluster`` node.
        cells: Numbers of the sweep's cells, ascending; one makes a plain job.
        place: Where it runs.
    """
    setup = [*cluster["setup"], ""] if cluster["setup"] else []
    return TEMPLATE.format(
        directives="\n".join(f"#SBATCH {d}" for d in _directives(command, cluster, cells, place)),
        setup="".join(f"{line}\n" for line in setup),
        cell=cells[0],
        home=shlex.quote(str(place.home)),
        folder=shlex.quote(str(place.folder)),
        command=shlex.join(_command(command, cluster, place)),
    )


def container_arguments(cluster: Mapping[str, Any], place: JobPlace) -> list[str]:
    """Pyxis's options of srun; none without an image."""
    container = cluster["container"]
    if not container["image"]:
        return []
    own = dict.fromkeys([place.work, place.home, place.folder])
    mounts = [*(f"{path}:{path}" for path in own), *container["mounts"]]
    return [
        f"--container-image={container['image']}",
        f"--container-mounts={','.join(mounts)}",
        f"--container-workdir={place.work}",
    ]


def rank_python(cluster: Mapping[str, Any]) -> str:
    """The interpreter of the ranks."""
    container = cluster["container"]
    return str(container["python"]) if container["image"] else host_python(cluster)


def host_python(cluster: Mapping[str, Any]) -> str:
    """The interpreter on the nodes themselves."""
    return str(cluster["python"] or sys.executable)


def _command(command: str, cluster: Mapping[str, Any], place: JobPlace) -> list[str]:
    container = container_arguments(cluster, place)
    # train starts its ranks in the container itself: it has to stay outside, where scontrol is.
    if container and command not in SAVES:
        return ["srun", "--ntasks=1", *container, rank_python(cluster), "-P", "-m", JOB_MODULE]
    return [host_python(cluster), "-P", "-m", JOB_MODULE]


def _directives(
    command: str, cluster: Mapping[str, Any], cells: Sequence[int], place: JobPlace
) -> list[str]:
    log = "%a" if len(cells) > 1 else str(cells[0])
    options: dict[str, Any] = {
        "job-name": f"olmoflow-{command}",
        "chdir": place.work,
        "output": f"{place.folder}/logs/{log}.out",
        "open-mode": "append",
        "nodes": cluster["nodes"],
        "ntasks-per-node": cluster["tasks_per_node"],
        "gpus-per-node": cluster["gpus_per_node"],
        "cpus-per-task": cluster["cpus_per_task"],
        "mem": cluster["memory"],
        "time": cluster["time"],
        "partition": cluster["partition"],
        "account": cluster["account"],
        "qos": cluster["qos"],
        "constraint": cluster["constraint"],
        "exclude": ",".join(cluster["exclude"]) or None,
    }
    lines = [f"--{k}={shlex.quote(str(v))}" for k, v in options.items() if v is not None]
    if cluster["after"]:
        # Without the second, a job whose forerunner failed would wait for ever.
        lines.append(f"--dependency=afterok:{':'.join(map(str, cluster['after']))}")
        lines.append("--kill-on-invalid-dep=yes")
    if len(cells) > 1:
        throttle = cluster["array_parallelism"]
        lines.append(f"--array={_ranges(cells)}{f'%{throttle}' if throttle else ''}")
    if command in SAVES:
        lines.append(f"--signal=B:USR1@{cluster['signal_seconds']}")
    lines.append("--requeue" if cluster["requeue"] else "--no-requeue")
    return [*lines, *cluster["sbatch"]]


def _ranges(cells: Sequence[int]) -> str:
    """``[0, 1, 2, 5]`` as ``0-2,5``."""
    ranges: list[list[int]] = []
    for cell in cells:
        if ranges and cell == ranges[-1][1] + 1:
            ranges[-1][1] = cell
        else:
            ranges.append([cell, cell])
    return ",".join(f"{a}-{b}" if a != b else str(a) for a, b in ranges)
