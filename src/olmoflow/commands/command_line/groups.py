"""Groups: which runs belong together, and what came of each.

A sweep (``-m``) and every command with ``group=NAME`` leave one entry a job in
``HOME/multirun/NAME.json``. The same job again takes its old entry's place, so a resumed sweep is
still one group. ``olmoflow report group=NAME`` reads it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from olmoflow.artifact import home, open_artifact
from olmoflow.digests import write_json
from olmoflow.errors import UserError

# Commands whose group= is what they read, not what they belong to.
READS_GROUPS = ("report", "extrapolate")
_NOT_A_SETTING = ("output", "name", "group")


def groups_folder() -> Path:
    """Where the records of all groups lie."""
    return home() / "multirun"


def group_name(
    command: str, given: str | None, experiment: str | None, sweep: Sequence[str] | None
) -> str | None:
    """The group that a job belongs to, if to any.

    Args:
        command: The command.
        given: What the user wrote as ``group=``.
        experiment: The choice of ``experiments=``.
        sweep: The overrides of the whole sweep that the job is a cell of.

    Raises:
        UserError: The name cannot be a file's.
    """
    if given is not None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=,-]*", str(given)) or given == "latest":
            raise UserError(
                f"group={given}: expected letters, digits and . _ + = , - (and not latest)"
            )
        return str(given)
    if experiment is not None and "experiments" not in swept_keys(sweep or ()):
        return experiment.replace("/", "-")
    if sweep is None:
        return None
    settings = sorted(o for o in sweep if o.partition("=")[0] not in _NOT_A_SETTING)
    return f"{command}-{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]}"


def file_under(
    logger: Mapping[str, Any],
    group: str | None,
    choices: Mapping[str, str | None],
    sweep: Sequence[str] | None,
) -> dict[str, Any]:
    """The W&B settings with what the command line knows: the group, and tags that tell runs apart.

    Args:
        logger: As composed; what the user gave stays.
        group: The job's group.
        choices: Of each config group.
        sweep: The overrides of the whole sweep, if it is one.
    """
    chosen = (choices.get(each) for each in ("model", "stage", "method"))
    tags = [each for each in chosen if each and each != "none"]
    tags = list(dict.fromkeys([*tags, *logger["tags"]]))
    named_by = logger["named_by"] or swept_keys(sweep or ())
    return {**logger, "group": logger["group"] or group, "tags": tags, "named_by": named_by}


def swept_keys(sweep: Sequence[str]) -> list[str]:
    """The keys that a sweep gives several values."""
    parsed = OverridesParser.create().parse_overrides(list(sweep))
    return [each.key_or_group for each in parsed if each.is_sweep_override()]


def record_job(group: str, command: str, job: Mapping[str, Any]) -> None:
    """Enter what came of a job.

    Args:
        group: Its group.
        command: Its command.
        job: ``overrides``, ``status`` and ``result`` or ``error``, as ``-m`` prints them.
    """
    folder = groups_folder()
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"command": command, **job, "artifact": _artifact(job.get("result") or {})}
    # Cells may run side by side, as jobs of a cluster do.
    with (folder / f".{group}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / f"{group}.json"
        jobs = json.loads(path.read_text())["jobs"] if path.is_file() else []
        same = [i for i, j in enumerate(jobs) if _identity(j) == _identity(entry)]
        if same:
            jobs[same[0]] = entry
        else:
            jobs.append(entry)
        write_json(path, {"group": group, "jobs": jobs})


def read_group(name: str) -> tuple[str, list[dict[str, Any]]]:
    """The name and the jobs of a group; ``latest`` is the one that a job ended in last.

    Raises:
        UserError: There is none of that name.
    """
    found = sorted(groups_folder().glob("[!.]*.json"), key=lambda p: p.stat().st_mtime_ns)
    names = [path.stem for path in found]
    if name == "latest" and names:
        name = names[-1]
    if name not in names:
        close = get_close_matches(name, names, n=1)
        known = ", ".join(names[-8:]) or "none yet; a sweep (-m) or group=NAME makes one"
        hint = f"did you mean {close[0]}?" if close else f"there are: {known}"
        raise UserError(f"group={name}: no such group; {hint}")
    jobs: list[dict[str, Any]] = json.loads(found[names.index(name)].read_text())["jobs"]
    return name, jobs


def _identity(job: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    settings = (o for o in job["overrides"] if o.partition("=")[0] not in _NOT_A_SETTING)
    return job["command"], tuple(sorted(settings))


def _artifact(result: Mapping[str, Any]) -> dict[str, str] | None:
    """The artifact that a result speaks of, so that it is found when its folder has moved."""
    place = result.get("run_dir") or result.get("path")
    found = open_artifact(Path(place)) if place else None
    return {"kind": found.kind, "name": found.name, "key": found.key} if found else None
