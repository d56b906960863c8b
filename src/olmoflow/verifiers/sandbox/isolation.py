"""Which isolation this machine gives, found out by trying."""

from __future__ import annotations

import functools
import logging
import os
import sys
import tempfile

from olmoflow.errors import UserError
from olmoflow.verifiers.sandbox.outcome import Isolation, Limits, describe
from olmoflow.verifiers.sandbox.runner import Sandbox, SandboxError

log = logging.getLogger(__name__)

ISOLATIONS = ("auto", "landlock", "namespaces", "none")
_SELF_CHECK = """
import os, socket
held = []
for name, forbidden in {
    "files": lambda: open(OUTSIDE).close(),
    "writing": lambda: open(OUTSIDE + ".new", "w").close(),
    "network": socket.socket,
    "processes": os.fork,
}.items():
    try:
        forbidden()
    except OSError:
        held.append(name)
open("own", "w").close()
print(",".join(held))
"""


def choose(isolation: str) -> Isolation:
    """The isolation to use.

    Args:
        isolation: ``auto`` takes Landlock, or else namespaces, and refuses where there is neither;
            ``none`` is no isolation, only limits: a program can do all that its user can.

    Raises:
        UserError: The name is unknown, or this machine does not give that isolation.
    """
    if isolation not in ISOLATIONS:
        raise UserError(f"sandbox: found {isolation}, expected one of {', '.join(ISOLATIONS)}")
    if isolation == "none":
        log.warning("sandbox=none: programs run with all the rights of this user")
        return "none"
    wanted: list[Isolation] = ["landlock", "namespaces"]
    reasons = []
    for one in wanted if isolation == "auto" else [one for one in wanted if one == isolation]:
        problem = probe(one)
        if problem is None:
            return one
        reasons.append(f"{one}: {problem}")
    raise UserError(
        f"sandbox: found no isolation for programs on this machine ({'; '.join(reasons)}), "
        "expected Linux with Landlock or user namespaces; sandbox=none runs them without any"
    )


@functools.cache
def probe(isolation: Isolation) -> str | None:
    """Why this machine does not give this isolation; None if it does, by trying."""
    if sys.platform != "linux" or os.uname().machine not in ("x86_64", "aarch64"):
        return f"{sys.platform} on {os.uname().machine}"
    sandbox = Sandbox(isolation, Limits())
    with tempfile.TemporaryDirectory(prefix="olmoflow-outside-") as folder:
        outside = os.path.join(folder, "file")
        with open(outside, "w"):
            pass
        try:
            ended = sandbox.run(f"OUTSIDE = {outside!r}\n{_SELF_CHECK}")
        except SandboxError as problem:
            return str(problem)
    held = ended.stdout.decode(errors="replace").strip()
    if ended.outcome == "exited" and held == "files,writing,network,processes":
        return None
    last_line = (ended.stderr.strip().splitlines() or [describe(ended, sandbox.limits)])[-1]
    return f"it held only {held or 'nothing'} ({last_line})"
