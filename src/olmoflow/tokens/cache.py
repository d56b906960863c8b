"""Remote shards through a bounded folder on the local disk.

- Whole files are fetched ahead, in background threads, in the order in which they will be read.
- Several processes share a folder: what one fetches, the others wait for and use.
- A file appears whole, with the right digest, or not at all.
- The folder stays below its bound: the file least recently used leaves first, and no file leaves
  for one that is wanted later. What a process has mapped stays readable to it.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.digests import file_digest
from olmoflow.errors import UserError
from olmoflow.tokens.format import DIGESTS, read_digests
from olmoflow.tokens.remote import Remote

_PARTIAL = ".partial"
# More need not be known of what comes next.
_AHEAD = 64
_TRANSFERS = 2


def default_cache_dir() -> Path:
    """``OLMOFLOW_CACHE``, or ``olmoflow`` in the user's cache folder."""
    if given := os.environ.get("OLMOFLOW_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "olmoflow"


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
        place = {path: len(leave_last) - i for i, path in enumerate(leave_last)}
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
            partial = path.name.endswith(_PARTIAL)
            with suppress(FileNotFoundError):
                if partial and not _is_locked(path):
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


class CachedFiles:
    """The files of a remote folder of shards, see `reader.Files`.

    Args:
        url: The folder.
        cache_dir: Where to keep copies; None: `default_cache_dir`.
        cache_bytes: At most so much, over all the folders in it; None: no bound.
        connections: Files that are fetched at once.

    Attributes:
        folder: Holds the copies; another one when the remote files are others.

    Raises:
        UserError: There are no shards at the URL, or it cannot be reached.
    """

    _wanted: list[str]  # what will be read next
    _settled: set[str]  # of these: there, being fetched, or given up
    _threads: list[threading.Thread]

    def __init__(
        self,
        url: str,
        cache_dir: Path | None = None,
        cache_bytes: int | None = None,
        *,
        connections: int = 4,
    ) -> None:
        self.remote = Remote(url)
        self.name = self.remote.url
        self.connections = connections
        self._record = self.remote.read(DIGESTS)
        self._digests = read_digests(self._record, f"{self.name}/{DIGESTS}")
        identity = hashlib.sha256(self.name.encode() + b"\0" + self._record).hexdigest()
        self._bounded = BoundedFolder((cache_dir or default_cache_dir()) / "shards", cache_bytes)
        self.folder = self._bounded.root / identity[:16]
        self.folder.mkdir(exist_ok=True)
        self._start()

    def open(self, filename: str) -> io.BufferedIOBase:
        """See `reader.Files`."""
        if filename == DIGESTS:
            return io.BytesIO(self._record)
        if Path(filename).name != filename:
            raise UserError(f"{self.name}: names a file {filename!r}; expected one in its folder")
        path = self.folder / filename
        while True:
            try:
                file = path.open("rb")
            except FileNotFoundError:
                self._fetch(filename, ahead=False)
                continue
            _touch(path)
            return file

    def expect(self, filenames: list[str]) -> None:
        """See `reader.Files`; starts to fetch them."""
        with self._changed:
            if filenames[:_AHEAD] == self._wanted:
                return
            self._wanted, self._settled = filenames[:_AHEAD], set()
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._fetch_ahead, name="fetch", daemon=True)
                    for _ in range(self.connections)
                ]
                for thread in self._threads:
                    thread.start()
            self._changed.notify_all()

    def discard(self, filename: str) -> None:
        """See `reader.Files`."""
        (self.folder / filename).unlink(missing_ok=True)

    # --- fetching --------------------------------------------------------------------------

    def _fetch_ahead(self) -> None:
        while True:
            with self._changed:
                while (filename := self._next()) is None:
                    self._changed.wait()
                self._settled.add(filename)
            try:
                fits = self._fetch(filename, ahead=True)
            except UserError:
                continue  # whoever reads the file will hear of it
            if not fits:
                with self._changed:
                    self._settled.update(self._wanted)

    def _next(self) -> str | None:
        """The first wanted file that is neither there nor being fetched."""
        for filename in self._wanted:
            if filename not in self._settled:
                if not _touch(self.folder / filename):
                    return filename
                self._settled.add(filename)
        return None

    def _fetch(self, filename: str, *, ahead: bool) -> bool:
        """Bring a file into the folder, or wait until another thread or process has.

        Args:
            filename: Which.
            ahead: Do not wait, and let nothing go that is wanted before it.

        Returns:
            False if there is no room for it ahead of time.
        """
        size = self.remote.size(filename)
        limit = self._bounded.limit
        if limit is not None and size > limit:
            raise UserError(
                f"cache_bytes={limit:,}: {self.name}/{filename} has {size:,} bytes; expected room "
                "for every file"
            )
        path, partial = self.folder / filename, self.folder / f".{filename}.{size}{_PARTIAL}"
        while True:
            with self._bounded.locked():
                if path.exists():
                    return True
                under_way = partial.open("rb") if _is_locked(partial) else None
                if under_way is None and self._make_room(filename, size, ahead):
                    claim = partial.open("wb")
                    fcntl.flock(claim, fcntl.LOCK_EX)
                    break
            if under_way is not None:
                with under_way:
                    if not ahead:
                        fcntl.flock(under_way, fcntl.LOCK_SH)
            elif not ahead:
                time.sleep(0.02)  # other transfers hold the room, and they end
            if ahead:
                return under_way is not None
        with claim:
            self._transfer(filename, size, partial)
        return True

    def _make_room(self, filename: str, size: int, ahead: bool) -> bool:
        wanted = [self.folder / name for name in self._wanted]
        here = self.folder / filename
        before = wanted[: wanted.index(here)] if ahead and here in wanted else []
        return self._bounded.make_room(size, before, wanted)

    def _transfer(self, filename: str, size: int, partial: Path) -> None:
        try:
            for _ in range(_TRANSFERS):
                self.remote.download(filename, partial, size)
                if file_digest(partial) == self._digests.get(filename):
                    with self._bounded.locked():
                        partial.rename(self.folder / filename)
                    return
            raise UserError(
                f"{self.name}/{filename}: damaged, its sha256 is not the recorded one, "
                f"fetched {_TRANSFERS} times"
            )
        except BaseException:
            with self._bounded.locked():
                partial.unlink(missing_ok=True)
            raise

    # --- other processes -------------------------------------------------------------------

    def _start(self) -> None:
        self._changed = threading.Condition()
        self._wanted, self._settled, self._threads = [], set(), []

    def __getstate__(self) -> dict[str, Any]:
        own = ("_changed", "_wanted", "_settled", "_threads")
        return {key: value for key, value in self.__dict__.items() if key not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()


def _touch(path: Path) -> bool:
    """Mark a file as used; False if it is not there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _is_locked(path: Path) -> bool:
    """Whether a living process holds a lock on a file."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
