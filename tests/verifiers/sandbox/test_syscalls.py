"""The list of allowed system calls is what it says."""

import platform
import re
from pathlib import Path

from olmoflow.verifiers.sandbox.syscalls import ALLOWED, FOR_SETUP, NUMBERS, ON_CONDITION, number

# Debian's and Red Hat's places.
HEADERS = ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h")


def test_numbers_are_those_of_the_kernels_headers():
    found = [Path(path) for path in HEADERS if Path(path).exists()]
    if not found or platform.machine() != "x86_64":  # nothing to compare with here
        return
    lines = re.findall(r"#define __NR_(\w+)\s+(\d+)", found[0].read_text())
    known = {name: int(value) for name, value in lines}
    mine = {name: number(name, "x86_64") for name in NUMBERS if name in known}
    assert mine == {name: known[name] for name in mine}


def test_no_number_stands_twice():
    for machine in ("x86_64", "aarch64"):
        numbers = [number(name, machine) for name in NUMBERS]
        given = [one for one in numbers if one is not None]
        assert len(given) == len(set(given))


def test_nothing_dangerous_is_allowed():
    dangerous = {
        *("fork", "vfork", "execve", "execveat", "socket", "connect", "bind", "ptrace", "mount"),
        *("process_vm_writev", "chmod", "chown", "truncate", "io_uring_setup", "bpf", "setns"),
        *("unshare", "keyctl", "memfd_create", "shmget", "prctl", "pidfd_send_signal"),
        *("sendmsg", "close_range"),
        *ON_CONDITION,
        *FOR_SETUP,
    }
    assert not dangerous & set(ALLOWED)
