"""This process, confined: its limits, the files that it sees, the system calls that it makes."""

from __future__ import annotations

import ctypes
import os
import resource
import struct

from . import landlock, namespaces, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SIGKILL = 9
CAPABILITY_VERSION_3 = 0x20080522
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")

_libc = ctypes.CDLL(None, use_errno=True)


def confine(settings: dict[str, Any]) -> None:
    """Confine this process for good.

    Args:
        settings: ``isolation`` (``landlock``, ``namespaces`` or ``none``), ``readable`` (paths),
            ``scratch`` (path), ``memory``, ``file_size``, ``scratch_size`` (bytes), ``cpu``
            (seconds), ``open_files``.

    Raises:
        OSError: The kernel does not give what this isolation needs.
    """
    isolation, scratch = settings["isolation"], settings["scratch"]
    if isolation != "none":
        _libc.prctl(PR_SET_PDEATHSIG, SIGKILL)
    if isolation == "landlock":
        files_only(settings["readable"], [scratch])
    elif isolation == "namespaces":
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        namespaces.restrict(settings["readable"], scratch, DEVICES, settings["scratch_size"])
    os.chdir(scratch)
    limit(settings)
    if isolation != "none":
        calls_only()


def files_only(readable: list[str], writable: list[str]) -> None:
    """Leave this process these files, by Landlock.

    Raises:
        OSError: The kernel has none.
    """
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    landlock.restrict(readable, writable, DEVICES)


def calls_only() -> None:
    """Leave this process the system calls of the filter, and no capabilities.

    Raises:
        OSError: The kernel does not take the filter.
    """
    drop_capabilities()
    seccomp.install()


def limit(settings: dict[str, Any]) -> None:
    """Set the limits that the kernel keeps for each process."""
    for what, most in (
        (resource.RLIMIT_AS, settings["memory"]),
        (resource.RLIMIT_FSIZE, settings["file_size"]),
        (resource.RLIMIT_NOFILE, settings["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _lower(what, most, most)
    # The first sends SIGXCPU, the second SIGKILL.
    _lower(resource.RLIMIT_CPU, settings["cpu"], settings["cpu"] + 1)


def _lower(what: int, soft: int, hard: int) -> None:
    _, most = resource.getrlimit(what)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(what, (soft, hard))


def drop_capabilities() -> None:
    """Give up all capabilities, which root has, and the creator of a user namespace."""
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    landlock.call("capset", header, bytes(24))
