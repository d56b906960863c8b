"""A seccomp filter: which system calls a program may make, held up by the kernel.

What is allowed is listed (`syscalls.py`), and everything else fails with "operation not permitted".
So there is one process, without children, that reaches no network, no other process, no change of
rights and no kernel interface beyond files, memory, threads and time. Threads are allowed, and so
are signals to itself.

The filter is a classic BPF program (Linux, Documentation/userspace-api/seccomp_filter.rst).
"""

import ctypes
import os
import struct

from .syscalls import ALLOWED, number

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, MASK, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOTTY, ENOSYS = 1, 25, 38
X32 = 0x40000000
FIRST_UNIFORM_NUMBER = 424
NUMBER, ARCH, ARGUMENTS = 0, 4, 16
CLONE_FILES, CLONE_THREAD, CLONE_NAMESPACES = 0x00000400, 0x00010000, 0x7E020080
# Duplicate, close-on-exec, flags, record locks, pipe size and seals; not F_SETOWN, which sends
# signals to others.
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
# Terminal or not, its size, bytes to read, non-blocking, close-on-exec.
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
AF_UNIX, SOCK_STREAM, SOCK_TYPE = 1, 1, 0xF
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2


class Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """``struct sock_filter``; jumps are counts of instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def argument(place: int) -> bytes:
    """Load the lower half of an argument; no argument that is looked at is wider."""
    return instruction(LOAD, ARGUMENTS + 8 * place)


def refuse(errno: int) -> bytes:
    """End with this error."""
    return instruction(RETURN, ERRNO | errno)


def one_of(place: int, values: tuple[int, ...], errno: int) -> bytes:
    """Allow if the argument is one of the values."""
    checks = b"".join(
        instruction(JUMP_EQUAL, value, 0, 1) + instruction(RETURN, ALLOW) for value in values
    )
    return argument(place) + checks + refuse(errno)


def thread_only() -> bytes:
    """Allow clone for a thread in the same namespaces and with the same open files."""
    thread = CLONE_THREAD | CLONE_FILES
    return (
        argument(0)
        + instruction(MASK, thread | CLONE_NAMESPACES)
        + instruction(JUMP_EQUAL, thread, 0, 1)
        + instruction(RETURN, ALLOW)
        + refuse(EPERM)
    )


def stream_pair() -> bytes:
    """Allow a pair of connected stream sockets: datagram sockets could address others."""
    return (
        argument(0)
        + instruction(JUMP_EQUAL, AF_UNIX, 0, 4)
        + argument(1)
        + instruction(MASK, SOCK_TYPE)
        + instruction(JUMP_EQUAL, SOCK_STREAM, 0, 1)
        + instruction(RETURN, ALLOW)
        + refuse(EPERM)
    )


def program(machine: str, pid: int) -> bytes:
    """The filter for a process of this number.

    Args:
        machine: ``x86_64`` or ``aarch64``.
        pid: The only process that it may send signals to.
    """
    conditions = {
        "clone": thread_only(),
        "clone3": refuse(ENOSYS),  # its flags cannot be seen from here; libc falls back to clone
        "kill": one_of(0, (pid,), EPERM),
        "tgkill": one_of(0, (pid,), EPERM),
        "prlimit64": one_of(0, (0, pid), EPERM),
        "fcntl": one_of(1, FCNTL, EPERM),
        "ioctl": one_of(1, IOCTL, ENOTTY),
        "socketpair": stream_pair(),
    }
    code = instruction(LOAD, ARCH)
    code += instruction(JUMP_EQUAL, AUDIT_ARCH[machine], 1, 0) + instruction(RETURN, KILL)
    code += instruction(LOAD, NUMBER)
    if machine == "x86_64":
        code += instruction(JUMP_AT_LEAST, X32, 0, 1) + refuse(ENOSYS)
    for name in ALLOWED:
        call = number(name, machine)
        if call is not None:
            code += instruction(JUMP_EQUAL, call, 0, 1) + instruction(RETURN, ALLOW)
    for name, check in conditions.items():
        code += instruction(JUMP_EQUAL, number(name, machine) or 0, 0, len(check) // 8) + check
    # For calls newer than that libraries have an older way, which they take at ENOSYS only.
    code += instruction(JUMP_AT_LEAST, FIRST_UNIFORM_NUMBER, 0, 1) + refuse(ENOSYS)
    return code + refuse(EPERM)


def install() -> None:
    """Hold this process, which has one thread, to the filter from now on.

    Raises:
        OSError: The kernel does not take it.
    """
    code = program(os.uname().machine, os.getpid())
    filter_ = Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filter_), 0, 0):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
