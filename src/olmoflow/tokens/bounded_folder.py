"""A folder that stays below a bound while several processes write files into it."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PARTIAL = ".partial"


class BoundedFolder:
    """Folders of files that together stay below a bound, whatever processes write into them.

    A file that is being written is called ``.NAME.SIZE.partial``, counts with its full size and is
    locked by its writer; one without a lock is what a killed process left.

    Args:
        root: Holds the folders.
        limit: Bytes; None: no bound.
    """

    def __init__(self, root: Path, limit: int | None) -> None:
        self.root, self.limit = root, limit
        root.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While no other process changes what is there; never held during a transfer."""
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def make_room(self, size: int, keep: Collection[Path], leave_last: Sequence[Path]) -> bool:
        """Let files go until one of ``size`` bytes has room; call it `locked`.

        Args:
            size: Bytes.
            keep: Not these.
            leave_last: These after all others, from the end.
        """
        entries = list(self._entries())
        excess = sum(e.size for e in entries) + size - (self.limit or 0)
        if self.limit is None or excess <= 0:
            return True
        place = {path: i for i, path in enumerate(leave_last)}
        going = []
        for entry in sorted(entries, key=lambda e: (-place.get(e.path, 1 << 30), e.used)):
            if excess > 0 and not entry.partial and entry.path not in keep:
                going.append(entry)
                excess -= entry.size
        if excess > 0:
            return False
        for entry in going:
            entry.path.unlink(missing_ok=True)
        return True

    def _entries(self) -> Iterator[_Entry]:
        for path in self.root.glob("*/*"):
            partial = path.name.endswith(PARTIAL)
            with suppress(FileNotFoundError):
                if partial and not is_locked(path):
                    path.unlink()
                    continue
                stat = path.stat()
                size = int(path.name.rsplit(".", 2)[1]) if partial else stat.st_size
                yield _Entry(path, size, stat.st_mtime, partial)


@dataclass(frozen=True)
class _Entry:
    path: Path
    size: int
    used: float
    partial: bool


def is_locked(path: Path) -> bool:
    """Whether a living process holds a lock on a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
