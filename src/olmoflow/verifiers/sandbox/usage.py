"""What a program has taken of the machine, where no limit of the kernel counts it.

Files that have lost their names, or never had one, take up the disk as long as the program holds
them, open or mapped; only the process itself leads to those.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Literal

from olmoflow.verifiers.sandbox.outcome import Limits

BLOCK = 512
MOST_ENTRIES = 10_000

Overstepped = Literal["scratch", "threads"]


def overstepped(pid: int, scratch: str, limits: Limits) -> Overstepped | None:
    """Which limit a running program has passed: ``threads``, ``scratch``; None: neither."""
    if thread_count(pid) > limits.threads:
        return "threads"
    most = limits.scratch_mb * 10**6
    size = folder_size(scratch)
    if size <= most:
        size += nameless_size(pid, limits.file_mb * 10**6)
    return "scratch" if size > most else None


def thread_count(pid: int) -> int:
    """Threads of a process; 0 where the system does not say, or there is none any more."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def folder_size(folder: str) -> float:
    """Bytes on disk below a folder; infinite if it has too many entries, or unreadable ones.

    No honest program hides its files so deep that paths are too long, or in folders that can be
    written but not listed.
    """
    total, entries, folders = 0, 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    entries += 1
                    status = entry.stat(follow_symlinks=False)
                    total += status.st_blocks * BLOCK
                    if stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWUSR:
                        folders.append(entry.path)
                    if entries > MOST_ENTRIES:
                        return float("inf")
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
            continue
        except OSError:
            return float("inf")
    return total


def nameless_size(pid: int, file_size: int) -> int:
    """Bytes of files without a name that a process holds; 0 where the system does not say.

    Args:
        pid: Of the process. Its threads share one table of open files (`seccomp`).
        file_size: How large a file can be; one that is mapped and not open counts as so large.
    """
    sizes: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for status in _open_files(pid):
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                sizes[status.st_ino] = status.st_blocks * BLOCK
        for inode in _deleted_and_mapped(pid):
            sizes.setdefault(inode, file_size)
    return sum(sizes.values())


def _open_files(pid: int) -> Iterator[os.stat_result]:
    """Of the first thread that has any: one that has ended while others go on has none."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        folder = f"/proc/{pid}/task/{thread}/fd"
        if numbers := os.listdir(folder):
            for number in numbers:
                with contextlib.suppress(OSError):  # closed meanwhile
                    yield os.stat(f"{folder}/{number}")
            return


def _deleted_and_mapped(pid: int) -> Iterator[int]:
    """Inodes of mapped files that have no name any more."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/maps", errors="replace") as maps:
            lines = maps.readlines()
        for line in lines:
            if line.endswith(" (deleted)\n"):
                yield int(line.split(maxsplit=5)[4])
        if lines:
            return
