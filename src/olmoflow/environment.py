"""What the code ran in: git commit, package versions, machine. Kept in every provenance."""

from __future__ import annotations

import importlib.metadata
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


@cache
def environment_record() -> dict[str, Any]:
    """The fields that provenance keeps of the environment."""
    return {
        "olmoflow": __version__,
        "git": git_record(),
        "versions": {"python": platform.python_version(), **_versions(_HEADLINE_PACKAGES)},
        "machine": {"platform": platform.platform(), "processor": platform.machine()},
    }


def git_record(folder: Path | None = None) -> dict[str, Any] | None:
    """Commit and whether the work tree differs from it; None outside a git checkout."""
    commit = _git("rev-parse", "HEAD", folder=folder)
    if commit is None:
        return None
    status = _git("status", "--porcelain", "--untracked-files=no", folder=folder)
    return {"commit": commit.strip(), "dirty": bool(status)}


def git_diff(folder: Path | None = None) -> str:
    """The uncommitted changes to tracked files, as a patch."""
    return _git("diff", "HEAD", folder=folder) or ""


def installed_packages() -> list[str]:
    """Every installed distribution as ``name==version``, sorted."""
    found = {
        f"{d.metadata['Name']}=={d.version}"
        for d in importlib.metadata.distributions()
        if d.metadata["Name"]
    }
    return sorted(found, key=str.lower)


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
