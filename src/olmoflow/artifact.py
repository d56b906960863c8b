"""Artifacts: what every command reads and what it leaves behind.

An artifact is a folder ``HOME/KIND/NAME``. Two files in it belong to this module:

- ``request.json``, written before the work starts: the key, the command, its resolved config and
  its inputs. It says whose unfinished work a folder holds, so that the work can be resumed.
- ``provenance.json``, written last and by rename: the request, the figures, the versions, the git
  commit and a digest of every file. An artifact is finished when, and only when, this file exists.

The *key* is a hash of command, config and input keys, so it is known before the work starts. The
same key means the same artifact: finished, it is reused; unfinished, it is resumed.

The chain of inputs is followed by `olmoflow.lineage`.
"""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args

from olmoflow.digests import WANDB_FILES, digest_folder, fingerprint, write_json
from olmoflow.environment import environment_record
from olmoflow.errors import UserError
from olmoflow.identity import difference, key_of
from olmoflow.series import series_steps

Kind = Literal[
    "corpus",
    "tokenizer",
    "shards",
    "classifier",
    "mixture",
    "checkpoint",
    "logprobs",
    "evaluation",
    "index",
    "rollouts",
    "report",
    "estimate",
]
KINDS: tuple[str, ...] = get_args(Kind)

REQUEST = "request.json"
PROVENANCE = "provenance.json"
LOCK = ".lock"
_NOT_DIGESTED = frozenset({REQUEST, PROVENANCE, LOCK}) | WANDB_FILES


@dataclass(frozen=True)
class Input:
    """One input of an artifact, resolved to something that will not change."""

    role: str
    kind: str
    name: str
    key: str
    path: Path
    step: int | None = None

    def record(self) -> dict[str, Any]:
        """The form in which provenance keeps it."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class Artifact:
    """A finished artifact."""

    kind: str
    name: str
    key: str
    path: Path
    provenance: Mapping[str, Any] = field(repr=False)

    @property
    def figures(self) -> Mapping[str, Any]:
        """The headline figures that the command left."""
        figures: Mapping[str, Any] = self.provenance["figures"]
        return figures

    @property
    def inputs(self) -> list[Input]:
        """What it was made from."""
        return [Input(**{**i, "path": Path(i["path"])}) for i in self.provenance["inputs"]]

    def summary(self) -> dict[str, Any]:
        """One row of ``olmoflow list``."""
        return {
            "kind": self.kind,
            "name": self.name,
            "key": self.key,
            "path": str(self.path),
            "created": self.provenance["created"],
            "inputs": [i.name if i.step is None else f"{i.name}@{i.step}" for i in self.inputs],
            "figures": dict(self.figures),
        }


def home() -> Path:
    """The folder of all artifacts: ``OLMOFLOW_HOME``, or ``artifacts`` in the working folder."""
    return Path(os.environ.get("OLMOFLOW_HOME") or "artifacts").absolute()


# --- making ---------------------------------------------------------------------------------


class Unfinished(Exception):  # noqa: N818  (an answer, not an error)
    """Raised by `claim` within `only_looking`; its argument is the folder to be worked in."""


_looking = ContextVar("looking", default=False)


@contextmanager
def only_looking() -> Iterator[None]:
    """Within, a command returns its result if that is finished, or raises `Unfinished`."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


@dataclass
class Claim:
    """The right to work on one artifact, held until the ``with`` block of `claim` ends."""

    kind: str
    name: str
    key: str
    path: Path
    request: dict[str, Any]
    resumed: bool
    finished: Artifact | None = None
    _started: float = field(default_factory=time.monotonic)

    def finish(self, figures: Mapping[str, Any]) -> Artifact:
        """Write the provenance and with it declare the artifact finished."""
        provenance = {
            **self.request,
            "kind": self.kind,
            "name": self.name,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._started, 3),
            "figures": dict(figures),
            **environment_record(),
            "digests": digest_folder(self.path, leave_out=_NOT_DIGESTED),
        }
        write_json(self.path / PROVENANCE, provenance)
        self.finished = _load(self.path)
        return self.finished


@contextmanager
def claim(
    kind: Kind,
    *,
    command: str,
    config: Mapping[str, Any],
    inputs: Sequence[Input] = (),
    name: str | None = None,
) -> Iterator[Claim]:
    """Open the artifact that this work will become.

    Args:
        kind: Where it belongs.
        command: The command that makes it.
        config: Its resolved config as plain values.
        inputs: What it reads, from `resolve`.
        name: The folder's name; without one, the key.

    Yields:
        A claim. If ``claim.finished`` is set there is nothing left to do; if ``claim.resumed``,
        ``claim.path`` holds an earlier, unfinished attempt at the same key.

    Raises:
        UserError: ``name`` belongs to another key, or another process is at work on it.
    """
    key = key_of(command, config, inputs)
    folder = home() / kind
    path = folder / check_name(name) if name else _with_key(folder, key) or folder / key
    _alias(path, key)
    request = {
        "key": key,
        "command": command,
        "config": dict(config),
        "inputs": [i.record() for i in inputs],
    }
    _check_key(path, request)
    if (path / PROVENANCE).is_file():
        yield Claim(kind, path.name, key, path, request, resumed=False, finished=_load(path))
        return
    if _looking.get():
        raise Unfinished(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    with _locked(path):
        resumed = _check_key(path, request)  # again: another process may have been at work here
        finished = open_artifact(path)
        if not resumed:
            write_json(path / REQUEST, request)
        try:
            yield Claim(kind, path.name, key, path, request, resumed, finished)
        except UserError:
            # A mistake takes no name: the corrected command is another key, and must be free to
            # use it. Whatever can be resumed stays claimed.
            if not resumed and not series_steps(path):
                (path / REQUEST).unlink()
                _remove_empty(path)
            raise


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a claim in which nothing was left but the lock."""
    with suppress(OSError):  # another process may have begun there
        if all(entry.name == LOCK for entry in folder.iterdir()):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


def _check_key(path: Path, request: Mapping[str, Any]) -> bool:
    """Whether the folder holds earlier work at this key; another's is an error."""
    held = _request(path)
    if held is not None and held["key"] != request["key"]:
        raise UserError(
            f"name={path.name}: {path.parent.name} {path.name} exists with another config "
            f"({difference(held, request)}); choose another name or remove {path}"
        )
    return held is not None


# --- finding, verifying ---------------------------------------------------------------------


def resolve(reference: str, role: str, kinds: Sequence[Kind]) -> Input:
    """Turn what the user wrote into an input.

    A checkpoint series always comes back with a step, its newest if none was named; it may be
    unfinished, for each of its steps is whole.

    Args:
        reference: A name, ``NAME@STEP``, a path, or ``latest``.
        role: The config key that it came from, for messages and provenance.
        kinds: The kinds of artifact that will do.

    Raises:
        UserError: Nothing answers to the reference.
    """
    if not isinstance(reference, str) or not reference:
        raise UserError(f"{role}={reference}: expected a name, NAME@STEP, a path or latest")
    bare, at, step_text = reference.partition("@")
    if Path(reference).expanduser().exists():  # a path may have an @ of its own
        bare, at = reference, ""
    step = None
    if at:
        if not step_text.isdigit():
            raise UserError(f"{role}={reference}: expected a step number after @")
        step = int(step_text)
    for kind in kinds:
        path = _latest(kind) if bare == "latest" else home() / kind / bare
        found = _usable(role, path, step) if path else None
        if found is not None:
            return found
    path = Path(bare).expanduser()
    if path.exists():
        found = _usable(role, path, step)
        if found is not None and found.kind in kinds:
            return found
        return Input(role, "external", path.name, fingerprint(path), path.absolute(), step)
    raise UserError(_not_found(reference, bare, role, kinds))


def artifacts(kind: str | None = None) -> list[Artifact]:
    """All finished artifacts, oldest first."""
    if kind is not None and kind not in KINDS:
        raise UserError(f"kind={kind}: expected one of {', '.join(KINDS)}")
    found = []
    for each in (kind,) if kind else KINDS:
        folder = home() / each
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not path.is_symlink() and (artifact := open_artifact(path)):
                found.append(artifact)
    return sorted(found, key=_age)


def _age(artifact: Artifact) -> tuple[str, int, str]:
    # When it was created is in whole seconds, in which a script makes several.
    written = (artifact.path / PROVENANCE).stat().st_mtime_ns
    return artifact.provenance["created"], written, artifact.name


def find(name: str, role: str | None = None) -> Artifact:
    """The finished artifact with this name or key, of whatever kind; ``latest`` is the newest.

    Args:
        name: A name, a key, a path or ``latest``.
        role: The config key that it came from, for messages.

    Raises:
        UserError: Nothing answers to the name, or several artifacts do.
    """
    known = artifacts()
    if name == "latest" and known:
        return known[-1]
    matches = [a for a in known if name in (a.name, a.key)]
    if not matches and os.sep not in name:  # a second name, which `artifacts` does not list
        matches = [a for k in KINDS if (a := open_artifact(home() / k / name))]
    if len(matches) > 1:
        kinds = ", ".join(a.kind for a in matches)
        shown = f"{role}={name}" if role else name
        raise UserError(f"{shown}: several artifacts have this name ({kinds}); use a key or a path")
    if matches:
        return matches[0]
    if by_path := open_artifact(Path(name)):
        return by_path
    raise UserError(_not_found(name, name, role, KINDS))


def verify(artifact: Artifact) -> None:
    """Compare every file with its digest.

    Raises:
        UserError: A file is missing or changed; the message names it.
    """
    now = digest_folder(artifact.path, leave_out=_NOT_DIGESTED)
    for name, digest in artifact.provenance["digests"].items():
        if not _NOT_DIGESTED.isdisjoint(name.split("/")):
            continue
        if name not in now:
            raise UserError(f"{artifact.path / name}: missing from {artifact.kind} {artifact.name}")
        if now[name] != digest:
            raise UserError(f"{artifact.path / name}: damaged, its sha256 is not the recorded one")


# --- the folder -----------------------------------------------------------------------------


def _load(path: Path) -> Artifact:
    provenance = json.loads((path / PROVENANCE).read_text())
    return Artifact(provenance["kind"], path.name, provenance["key"], path, provenance)


def open_artifact(path: Path) -> Artifact | None:
    """The finished artifact in a folder, or None."""
    return _load(path.resolve()) if (path / PROVENANCE).is_file() else None


def _request(path: Path) -> dict[str, Any] | None:
    file = path / REQUEST
    if not file.is_file():
        return None
    request: dict[str, Any] = json.loads(file.read_text())
    return request


def _with_key(folder: Path, key: str) -> Path | None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        request = _request(path)
        if request is not None and request["key"] == key:
            return path.resolve()
    return None


def _alias(path: Path, key: str) -> None:
    """Let a new name point to finished work that another name already holds."""
    if path.exists():
        return
    other = _with_key(path.parent, key)
    if other is not None and other != path and (other / PROVENANCE).is_file():
        path.symlink_to(other.name)


def _latest(kind: str) -> Path | None:
    return next((a.path for a in reversed(artifacts(kind))), None)


def _usable(role: str, path: Path, step: int | None) -> Input | None:
    """The artifact in a folder as an input: finished, or a checkpoint series with a whole step."""
    artifact = open_artifact(path)
    if artifact is not None:
        kind, key, path = artifact.kind, artifact.key, artifact.path
    else:
        request = _request(path)
        if (
            request is None
            or request["command"] not in ("train", "import")
            or not series_steps(path)
        ):
            return None
        kind, key = "checkpoint", request["key"]
    if kind == "checkpoint":
        step = _existing_step(role, path, step)
    elif step is not None:
        raise UserError(f"{role}={path.name}@{step}: a {kind} has no steps")
    return Input(role, kind, path.name, key, path, step)


def _existing_step(role: str, series: Path, step: int | None) -> int:
    steps = series_steps(series)
    if not steps:
        raise UserError(f"{role}={series.name}: {series} holds no step")
    if step is None:
        return steps[-1]
    if step not in steps:
        shown = ", ".join(map(str, steps[-12:]))
        raise UserError(f"{role}={series.name}@{step}: no such step; there are {shown}")
    return step


def check_name(name: str) -> str:
    """The name, if an artifact can have it.

    Raises:
        UserError: It cannot.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+=,-]*", str(name)) or name == "latest":
        raise UserError(f"name={name}: expected letters, digits and . _ + = , - (and not latest)")
    return str(name)


def _not_found(reference: str, bare: str, role: str | None, kinds: Sequence[str]) -> str:
    shown = f"{role}={reference}" if role else reference
    names = [a.name for k in kinds for a in artifacts(k)]
    unfinished = [k for k in kinds if _request(home() / k / bare)]
    if unfinished:
        return (
            f"{shown}: this {unfinished[0]} is unfinished; "
            "run the command that makes it again to resume it"
        )
    wanted = "artifact" if len(kinds) == len(KINDS) else " or ".join(kinds)
    others = [k for k in KINDS if k not in kinds and open_artifact(home() / k / bare)]
    if others:
        return f"{shown}: this is the name of a {others[0]}; expected {wanted}"
    if not names:
        return f"{shown}: no such path, and there is no {wanted} yet"
    close = get_close_matches(bare, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names[-8:])}"
    return f"{shown}: no {wanted} has this name and no such path; {hint}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with (path / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"{path}: process {lock.read().strip()} is at work on it; expected to wait for "
                "it, or another name"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
