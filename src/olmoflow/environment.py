"""What the code ran in: git commit, package versions, machine. Kept in every provenance."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from olmoflow import __version__

_HEADLINE_PACKAGES = (
    "torch",
    "lightning",
    "litdata",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "transformers",
    "tokenizers",
    "wandb",
    "numpy",
)


# What a snapshot of the code keeps of the checkout that it was taken from, beside its src/.
SNAPSHOT_GIT = "git.json"


@cache
def usable_cores() -> int:
    """How many cores this process may use: of a SLURM job its own, not all of the machine."""
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def environment_record() -> dict[str, Any]:
    """The fields that provenance keeps of the environment."""
    return {
        "olmoflow": __version__,
        "git": git_record(),
        "versions": {"python": platform.python_version(), **_versions(_HEADLINE_PACKAGES)},
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
        **({"slurm": slurm} if (slurm := slurm_record()) else {}),
    }


def slurm_record() -> dict[str, Any] | None:
    """The SLURM job that this process belongs to and its log; None outside of one."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None:
        return None
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return {
        "job_id": f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else job,
        "cluster": os.environ.get("SLURM_CLUSTER_NAME"),
        "nodes": os.environ.get("SLURM_JOB_NODELIST"),
        "restarts": int(os.environ.get("SLURM_RESTART_COUNT", 0)),
        "log": os.environ.get("OLMOFLOW_LOG"),
    }


def git_record(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit and whether the work tree differs from it; None outside a git checkout."""
    if folder is None and (snapshot := _snapshot()):
        record: dict[str, Any] | None = snapshot["git"]
        return record
    commit = _git("rev-parse", "HEAD", folder=folder)
    if commit is None:
        return None
    status = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    return {"commit": commit.strip(), "dirty": bool(status)}


def git_diff(folder: Path | None = None) -> str:
    """The uncommitted changes to tracked files, as a patch."""
    if folder is None and (snapshot := _snapshot()):
        return str(snapshot["diff"])
    return _git("diff", "HEAD", folder=folder) or ""


def installed_packages() -> list[str]:
    """Every installed distribution as ``name==version``, sorted."""
    # Each access to `metadata` or `version` parses the distribution's whole METADATA once more.
    parsed = [distribution.metadata for distribution in importlib.metadata.distributions()]
    found = {f"{each['Name']}=={each['Version']}" for each in parsed if each["Name"]}
    return sorted(found, key=str.lower)


def _snapshot() -> dict[str, Any] | None:
    file = Path(__file__).parents[2] / SNAPSHOT_GIT
    found: dict[str, Any] | None = json.loads(file.read_text()) if file.is_file() else None
    return found


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git(*arguments: str, folder: Path | None) -> str | None:
    # The code's own checkout, not the folder that the user happens to stand in.
    where = folder or Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
