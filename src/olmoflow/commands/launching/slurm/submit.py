"""Submits commands to SLURM and returns at once.

Hydra composes every cell here, on the login node; the job reads the composed config. What the job
runs is in its folder before it is queued, so nothing that is edited afterwards changes it:

    artifacts/jobs/JOB/
      job-0.sh          the sbatch script
      cells/0.yaml      command, overrides and composed config of a cell; 0.json: what came of it
      code/             src, conf and experiments as they were, and the commit they were taken from
      logs/0.out        standard output and error of a cell, over all its starts
"""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from olmoflow.artifact import Unfinished, home, only_looking
from olmoflow.commands.launching.slurm.script import JobPlace, sbatch_script
from olmoflow.commands.main import config_root
from olmoflow.digests import write_json
from olmoflow.environment import SNAPSHOT_GIT, git_diff, git_record
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh

# A flow submits its steps; a plan says what such a job would cost.
STAYS_HERE = frozenset({"flow", "plan"})
# These claim their artifact before they do any work, so that they can be asked for it here.
_CLAIM_FIRST = frozenset({"curate", "tokenize", "train", "score", "evaluate", "synthesize"})
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class Cell:
    """One composed command.

    Attributes:
        overrides: What was written on the command line.
        config: The composed config.
        run_dir: The artifact's folder, where that is known before.
        finished: The result, if the artifact exists already.
    """

    overrides: list[str]
    config: dict[str, Any]
    run_dir: Path | None = None
    finished: dict[str, Any] | None = None

    @property
    def cluster(self) -> dict[str, Any]:
        """What it asks of SLURM."""
        cluster: dict[str, Any] = self.config["cluster"]
        return cluster


def look_ahead(command: str, config: dict[str, Any], overrides: list[str], module: Any) -> Cell:
    """Find out before submission whether the work is done, and whether it can be done at all.

    Raises:
        UserError: The tasks do not fit the command, or one of its inputs does not exist.
    """
    ranks = config["cluster"]["ranks"]
    if "parallel" in config:
        Mesh.of(config["parallel"], ranks)
    elif ranks != 1:
        raise UserError(
            f"cluster.ranks={ranks}: olmoflow {command} is one process; "
            "expected nodes × tasks_per_node = 1"
        )
    # What an earlier job has yet to make cannot be looked at.
    if command not in _CLAIM_FIRST or config["cluster"]["after"]:
        return Cell(overrides, config)
    try:
        with only_looking():
            return Cell(overrides, config, finished=module.run(config, overrides))
    except Unfinished as unfinished:
        return Cell(overrides, config, run_dir=unfinished.args[0])


def submit(command: str, cells: Sequence[Cell]) -> dict[str, Any]:
    """Submit what is not finished: one job, or one array for all cells that ask for the same.

    Returns:
        ``submitted``: job_id and run_dir of each; ``finished``: overrides and result of each cell
        that needed no job, if there are any. With ``dry_run=true``: ``scripts`` alone.

    Raises:
        UserError: There is no SLURM here, it has no such partition, it refuses the job, or the
            job folder cannot be written.
    """
    dry = bool(cells[0].config["dry_run"])
    open_cells = [(n, cell) for n, cell in enumerate(cells) if cell.finished is None]
    done = [{"overrides": c.overrides, "result": c.finished} for c in cells if c.finished]
    place = JobPlace(_new_folder(command), home(), Path.cwd())
    groups: dict[str, list[tuple[int, Cell]]] = {}
    for number, cell in open_cells:
        groups.setdefault(json.dumps(cell.cluster, sort_keys=True), []).append((number, cell))
    scripts = {
        f"job-{group[0][0]}.sh": (
            sbatch_script(command, group[0][1].cluster, [n for n, _ in group], place),
            group,
        )
        for group in groups.values()
    }
    if dry:
        return {"scripts": [script for script, _ in scripts.values()]}
    submitted: list[dict[str, Any]] = []
    if open_cells:
        for _, cell in open_cells:
            _check_cluster(cell.cluster)
        _fill(place.folder, command, open_cells)
        try:
            for name, (script, group) in scripts.items():
                (place.folder / name).write_text(script)
                job = _sbatch(place.folder / name)
                for number, cell in group:
                    job_id = f"{job}_{number}" if len(group) > 1 else job
                    run_dir = cell.run_dir or place.folder / "cells"
                    submitted.append({"job_id": job_id, "run_dir": str(run_dir)})
        except UserError:
            if not submitted:
                shutil.rmtree(place.folder)
            raise
        write_json(place.folder / "submitted.json", submitted)
    result: dict[str, Any] = {"submitted": submitted, "job_dir": str(place.folder)}
    return {**result, "finished": done} if done else result


def report(result: Mapping[str, Any]) -> None:
    """Say what was submitted, or print the script."""
    if "scripts" in result:
        print("\n".join(result["scripts"]), end="")
        return
    for cell in result.get("finished", ()):
        print(f"finished already: {' '.join(cell['overrides'])}")
    for job in result["submitted"]:
        print(f"job {job['job_id']}: {job['run_dir']}")
    if result["submitted"]:
        print(f"logs: {result['job_dir']}/logs")


def _new_folder(command: str) -> Path:
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = home() / "jobs" / f"{command}-{now}"
    number = 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{command}-{now}-{number}")
    return folder


def _fill(folder: Path, command: str, cells: Sequence[tuple[int, Cell]]) -> None:
    try:
        (folder / "logs").mkdir(parents=True)
        (folder / "cells").mkdir()
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    for number, cell in cells:
        saved = {"command": command, "overrides": cell.overrides, "config": cell.config}
        text = yaml.safe_dump(saved, sort_keys=False, allow_unicode=True)
        (folder / "cells" / f"{number}.yaml").write_text(text)
    root, code = config_root(), folder / "code"
    package = Path(__file__).resolve().parents[3]
    shutil.copytree(package, code / "src" / package.name, ignore=_NOT_COPIED)
    if root != package:  # a wheel carries both inside the package
        for name in ("conf", "experiments"):
            shutil.copytree(root / name, code / name, ignore=_NOT_COPIED)
    write_json(code / SNAPSHOT_GIT, {"git": git_record(), "diff": git_diff()})


def _check_cluster(cluster: Mapping[str, Any]) -> None:
    if shutil.which("sbatch") is None:
        raise UserError("cluster=slurm: no sbatch on this machine; expected a SLURM login node")
    if cluster["partition"] is None:
        return
    done = subprocess.run(["sinfo", "--noheader", "--format=%R"], capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"cluster=slurm: {_last_line(done.stderr) or 'sinfo failed'}")
    known = sorted(set(done.stdout.split()))
    for name in str(cluster["partition"]).split(","):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise UserError(
                f"cluster.partition={name}: no such partition; {hint}"
                f"expected one of {', '.join(known)}"
            )


def _sbatch(script: Path) -> str:
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True)
    if done.returncode != 0:
        raise UserError(f"cluster=slurm: {_last_line(done.stderr) or 'sbatch failed'}")
    return done.stdout.strip().partition(";")[0]  # JOB or JOB;CLUSTER


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""
