"""Landlock: which files a process may open, held up by the kernel (Linux 5.13 or newer).

It needs no rights, works in containers, and holds whoever started the process. It does not cover
some changes of attributes by path (mode, owner, times, `truncate` before its version 3): those are
system calls that the seccomp filter refuses.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .syscalls import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_SOCK, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
ALL_OF_VERSION_1 = (1 << 13) - 1
BIND_TCP, CONNECT_TCP = 1, 2
ABSTRACT_UNIX_SOCKET, SIGNAL = 1, 2
VERSION_FLAG, PATH_BENEATH = 1, 1

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> int:
    """Make a system call that libc has no function for.

    Raises:
        OSError: It failed.
    """
    result: int = _libc.syscall(number(name, os.uname().machine), *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def version() -> int:
    """Landlock's version in this kernel.

    Raises:
        OSError: It has none, or has it switched off.
    """
    return call("landlock_create_ruleset", None, ctypes.c_size_t(0), VERSION_FLAG)


def file_rights(abi: int) -> int:
    """All rights to files that this version knows."""
    known = ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))
    return ALL_OF_VERSION_1 | sum(right for since, right in known if abi >= since)


def restrict(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> None:
    """Leave this process these folders to read, those to write, and some devices for both.

    Raises:
        OSError: The kernel has no Landlock, or refuses.
    """
    abi = version()
    rights = file_rights(abi)
    network = BIND_TCP | CONNECT_TCP if abi >= 4 else 0
    scoped = ABSTRACT_UNIX_SOCKET | SIGNAL if abi >= 6 else 0
    attributes = struct.pack("=QQQ", rights, network, scoped)[
        : 24 if abi >= 6 else 16 if abi >= 4 else 8
    ]
    rules = call("landlock_create_ruleset", attributes, ctypes.c_size_t(len(attributes)), 0)
    read = EXECUTE | READ_FILE | READ_DIR
    write = rights & ~(MAKE_CHAR | MAKE_BLOCK | MAKE_SOCK | EXECUTE)
    for paths, allowed in ((readable, read), (writable, write), (devices, READ_FILE | WRITE_FILE)):
        for path in paths:
            _allow(rules, path, allowed & rights)
    call("landlock_restrict_self", rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        rights &= EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
    rule = struct.pack("=Qi", rights, beneath)
    call("landlock_add_rule", rules, PATH_BENEATH, rule, 0)
    os.close(beneath)
