"""Weights & Biases: one run per run folder, offline when there is no API key.

A run is filed so that an ablation can be read there: its group is the experiment or the sweep, its
job type the command, its name what was overridden. Its checkpoints and what they were made from
become W&B artifacts, which are references: the weights stay where they are.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.artifact import REQUEST
from olmoflow.environment import slurm_record
from olmoflow.series import step_folder
from olmoflow.train.filing import logged, note, place_of

ID_FILE = "wandb_id.txt"
# Overrides that say nothing of what was tried.
_NOT_IN_NAME = ("name", "output", "group", "logger", "cluster", "runtime", "save", "log_every")
_LONGEST_NAME = 128  # W&B's own limit
Lookup = Callable[[Any], set[str]]


@dataclass(frozen=True)
class WandbSettings:
    """Where the run is filed.

    Attributes:
        project: W&B project.
        entity: User or team; None: the default.
        group: Runs that belong together, such as the cells of an ablation.
        job_type: The command.
        tags: Free labels.
        cancel_tags: The run stops when it is given one of these tags in W&B.
        cancel_check_minutes: Between two looks at the tags; None: never. Offline there are none.
    """

    project: str = "olmoflow"
    entity: str | None = None
    group: str | None = None
    job_type: str = "train"
    tags: Sequence[str] = ()
    cancel_tags: Sequence[str] = ("cancel", "canceled", "cancelled")
    cancel_check_minutes: float | None = 1.0


class WandbRun:
    """A W&B run that goes on across resumes: its id is kept in the run folder.

    Args:
        settings: Where it is filed.
        run_dir: The run folder; ``wandb/`` in it holds an offline run.
        name: Shown in the list of runs.
        config: The resolved config.
        lookup: Gives the tags that the run has now; None: W&B's API, if the run is online.
        live: False: the run is over, and what this process does is not measured as its doing.

    Attributes:
        cancelled_by: The tag that stopped the run, if one did.
    """

    def __init__(
        self,
        settings: WandbSettings,
        run_dir: Path,
        name: str,
        config: Mapping[str, Any],
        lookup: Lookup | None = None,
        *,
        live: bool = True,
    ) -> None:
        import wandb

        self.run_dir = run_dir
        self.online = has_api_key()
        self.cancelled_by: str | None = None
        self._request = _request(run_dir)
        inputs = [f"{each['kind']} {_name_of(each)}" for each in self._request.get("inputs", ())]
        self.run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            job_type=settings.job_type,
            tags=list(settings.tags),
            name=name,
            id=self._id(run_dir),
            resume="allow",
            dir=str(run_dir),
            config={**config, "run_dir": str(run_dir), "inputs": inputs},
            mode="online" if self.online else "offline",
            settings=wandb.Settings(x_disable_stats=not live, x_disable_meta=not live),
        )
        if live and (slurm := slurm_record()):
            # Of several jobs that went on with the run, the newest.
            shown: Any = self.run.config
            shown.update({"slurm": slurm}, allow_val_change=True)
        if self.online:  # an offline run cannot use artifacts; its config names them
            for each in self._request.get("inputs", ()):
                self.run.use_artifact(_reference(each["kind"], each, Path(each["path"])))
        self._closed, self._watched, self._lost = threading.Event(), False, False
        self._lookup = lookup or (tags_of if self.online and live else None)
        self._settings = settings

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Log a report; with the first one, begin to look at the tags."""
        with self._harmless():
            self.run.log(metrics, step=step)
        # Before, nobody would heed the signal.
        if not self._watched and self._lookup is not None and self._settings.cancel_check_minutes:
            self._watched = True
            threading.Thread(target=self._watch, args=(self._lookup,), daemon=True).start()

    def finish(self, outcome: Mapping[str, Any] | None) -> None:
        """Close the run.

        Args:
            outcome: ``stopped``, ``steps`` and ``tokens``; None if it failed.
        """
        self._closed.set()
        with self._harmless():
            self._close(outcome)
        if outcome is not None and outcome["stopped"] == "finished" and not self._lost:
            note(self.run_dir, place_of(self._settings, online=self.online))

    def _close(self, outcome: Mapping[str, Any] | None) -> None:
        if outcome is not None:
            for key in ("stopped", "steps", "tokens"):
                self.run.summary[key] = outcome[key]
            last = step_folder(self.run_dir, outcome["steps"])
            if self._request and last.is_dir():
                made = {**self._request, "name": self.run_dir.name, "step": outcome["steps"]}
                artifact = _reference("checkpoint", made, last)
                self.run.log_artifact(artifact, aliases=["latest", f"step-{outcome['steps']}"])
        self.run.finish(exit_code=0 if outcome is not None else 1)

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """What W&B cannot take must not cost a checkpoint; metrics.csv has the figures.

        A cluster's SIGTERM ends W&B's own process too, while the ranks have yet to save.
        """
        try:
            yield
        except Exception as error:
            if not self._lost:
                print(f"olmoflow: W&B is lost ({error}); the run goes on", file=sys.stderr)
            self._lost = True

    def _watch(self, lookup: Lookup) -> None:
        """Stop the run, as a SIGTERM would, once it has one of the tags."""
        while not self._closed.wait(60 * (self._settings.cancel_check_minutes or 0)):
            try:
                found = lookup(self.run) & set(self._settings.cancel_tags)
            except Exception:
                continue  # W&B out of reach is no reason to stop, nor to ask no more
            if found and not self._closed.is_set():  # the run may have ended during the look
                self.cancelled_by = min(found)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    @staticmethod
    def _id(run_dir: Path) -> str:
        file = run_dir / ID_FILE
        if not file.exists():
            file.write_text(secrets.token_hex(4))
        return file.read_text().strip()


def log_afterwards(
    settings: WandbSettings,
    run_dir: Path,
    name: str,
    config: Mapping[str, Any],
    rows: Iterable[tuple[int, dict[str, float]]],
    outcome: Mapping[str, Any],
) -> None:
    """Log a run that is over, or file one that W&B has anew.

    When each step was done stands in no file, so W&B's clock shows the time of the logging; its
    config says so (``logged_from``). What W&B cannot take costs nothing but a line.

    Args:
        settings: Where it is filed.
        run_dir: The run folder.
        name: Shown in the list of runs.
        config: With which it was trained.
        rows: Of its metrics.csv: steps and metrics.
        outcome: ``stopped``, ``steps`` and ``tokens``.
    """
    here = place_of(settings, online=has_api_key())
    there = [{k: v for k, v in each.items() if k in _CURVES_OF} for each in logged(run_dir)]
    has_curves = {k: here[k] for k in _CURVES_OF} in there
    shown = config if has_curves else {**config, "logged_from": "metrics.csv"}
    try:
        run = WandbRun(settings, run_dir, name, shown, live=False)
        for step, metrics in () if has_curves else rows:
            run(step, metrics)
        run.finish(outcome)
    except Exception as error:
        print(f"olmoflow: not logged to W&B ({error}); {run_dir} has all of it", file=sys.stderr)


# A run's id is one within its project; a group and tags are filed over the same curves.
_CURVES_OF = ("project", "entity", "online")


def tags_of(run: Any) -> set[str]:
    """The tags that W&B has for a run now, those that were given in the browser included."""
    import wandb

    # An API object remembers what it has fetched, so each look takes a new one.
    return set(wandb.Api(timeout=20).run(run.path).tags)


def run_name(overrides: Sequence[str], artifact: str, keys: Sequence[str] = ()) -> str:
    """What to call a run: what was overridden, without texts and paths.

    Args:
        overrides: As on the command line.
        artifact: The name where nothing is left.
        keys: Those to name it by; empty: all.
    """
    shown = []
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key.partition(".")[0] in _NOT_IN_NAME or (keys and key not in keys):
            continue
        if re.search(r"[/\\\s]", value):  # a path, a URL, a text
            continue
        shown.append(f"{key}={value}")
    name = " ".join(shown)
    if len(name) > _LONGEST_NAME:
        name = name[: _LONGEST_NAME - 1] + "…"
    return name or artifact


def has_api_key() -> bool:
    """Whether W&B could log in without asking."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    return netrc.is_file() and "api.wandb.ai" in netrc.read_text()


def _request(run_dir: Path) -> dict[str, Any]:
    file = run_dir / REQUEST
    if not file.is_file():
        return {}
    request: dict[str, Any] = json.loads(file.read_text())
    return request


def _name_of(record: Mapping[str, Any]) -> str:
    step = record.get("step")
    return str(record["name"]) if step is None else f"{record['name']}@{step}"


def _reference(kind: str, record: Mapping[str, Any], path: Path) -> Any:
    """A W&B artifact that says where one of ours lies and what it was made from."""
    import wandb

    inputs = [{k: i[k] for k in ("kind", "name", "key", "step")} for i in record.get("inputs", ())]
    artifact = wandb.Artifact(
        re.sub(r"[^A-Za-z0-9._-]", "-", f"{record['name']}")[:_LONGEST_NAME],
        type=kind,
        metadata={"key": record["key"], "step": record.get("step"), "inputs": inputs},
    )
    uri = str(path) if "://" in str(record["name"]) else path.absolute().as_uri()
    # Our own digests vouch for the files; W&B need not read them.
    artifact.add_reference(uri, checksum=False, max_objects=1_000_000)
    return artifact
