"""What a program finds around it: its settings, environment, folders; and what is left of them."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import stat
import sys
import sysconfig
from typing import Any

from olmoflow.verifiers.sandbox.outcome import Isolation, Limits

log = logging.getLogger(__name__)


def settings(scratch: str, isolation: Isolation, limits: Limits) -> dict[str, Any]:
    """What `confine` is told."""
    return {
        "isolation": isolation,
        "scratch": scratch,
        "readable": readable(),
        "packages": packages(),
        "memory": limits.memory_mb * 10**6,
        "cpu": limits.cpu_seconds,
        "file_size": limits.file_mb * 10**6,
        "scratch_size": limits.scratch_mb * 10**6,
        "open_files": limits.open_files,
    }


def environment(scratch: str) -> dict[str, str]:
    """The environment variables of a program: none of ours."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {
        "HOME": scratch,
        "TMPDIR": scratch,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        **dict.fromkeys(threads, "1"),
    }


@functools.cache
def packages() -> list[str]:
    """Folders with the packages that a program may import."""
    return sorted({os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


@functools.cache
def readable() -> list[str]:
    """What a program may read: the interpreter, packages and the system's libraries."""
    system = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo"]
    interpreter = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    libraries = [os.path.join(sys.base_prefix, "lib")]
    paths = [*system, *interpreter, *libraries, *packages(), "/etc/ld.so.cache", "/etc/localtime"]
    return sorted({path for path in paths if os.path.exists(path)})


def remove(folder: str) -> None:
    """Delete a folder that a program had, whatever it did to it."""
    for _ in range(3):  # a child of the program may write until it has died
        with contextlib.suppress(OSError):
            _delete(folder)
        if not os.path.exists(folder):
            return
    log.warning("could not remove %s", folder)


def _delete(folder: str) -> None:
    """Folders are taken out of each other first, so it does not matter how deep they are."""
    folders = [folder]
    for one in folders:
        os.chmod(one, stat.S_IRWXU)
        for name in os.listdir(one):
            path = os.path.join(one, name)
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                continue
            os.chmod(path, stat.S_IRWXU)  # what is not writable cannot be moved
            folders.append(os.path.join(folder, secrets.token_hex(16)))
            os.rename(path, folders[-1])
    for one in reversed(folders):
        os.rmdir(one)
