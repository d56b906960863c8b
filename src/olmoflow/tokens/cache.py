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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.digests import file_digest
from olmoflow.errors import UserError
from olmoflow.tokens.bounded_folder import PARTIAL, BoundedFolder, is_locked
from olmoflow.tokens.format import DIGESTS, read_digests
from olmoflow.tokens.remote import MISSING, Remote

# More need not be known of what comes next.
_AHEAD = 64
_TRANSFERS = 2


def default_cache_dir() -> Path:
    """``OLMOFLOW_CACHE``, or ``olmoflow`` in the user's cache folder."""
    if given := os.environ.get("OLMOFLOW_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "olmoflow"


@dataclass(frozen=True)
class _Claim:
    """A file that is being written, and its lock."""

    path: Path
    size: int
    file: io.BufferedWriter


class _NoRoomError(Exception):
    """Nothing may leave for a file that is wanted later."""


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
        self._record = self._read_record()
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
                self._fetch(filename)
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

    def _read_record(self) -> bytes:
        try:
            return self.remote.read(DIGESTS)
        except UserError as error:
            if not str(error).endswith(MISSING):
                raise
            raise UserError(f"{error}; expected the URL of one split of shards, …/train") from error

    # --- fetching --------------------------------------------------------------------------

    def _fetch_ahead(self) -> None:
        while True:
            try:
                with self._in_turn:  # what is wanted first gets the first room
                    filename = self._await_next()
                    claim = self._claim(filename, ahead=True)
                if claim:
                    self._transfer(filename, claim)
            except _NoRoomError:
                with self._changed:
                    self._settled.update(self._wanted)
            except UserError:
                continue  # whoever reads the file will hear of it

    def _await_next(self) -> str:
        with self._changed:
            while (filename := self._next()) is None:
                self._changed.wait()
            self._settled.add(filename)
            return filename

    def _next(self) -> str | None:
        """The first wanted file that is neither there nor being fetched."""
        for filename in self._wanted:
            if filename not in self._settled:
                if not _touch(self.folder / filename):
                    return filename
                self._settled.add(filename)
        return None

    def _fetch(self, filename: str) -> None:
        """Bring a file into the folder, or wait until another thread or process has."""
        if claim := self._claim(filename, ahead=False):
            self._transfer(filename, claim)

    def _claim(self, filename: str, *, ahead: bool) -> _Claim | None:
        """Make room for a file and begin it.

        Args:
            filename: Which.
            ahead: Do not wait, and let nothing go that is wanted before it.

        Returns:
            None if the file is there, or (ahead of time) another is fetching it.

        Raises:
            UserError: It is missing, or larger than the cache.
            _NoRoomError: There is no room for it ahead of time.
        """
        size = self.remote.size(filename)
        limit = self._bounded.limit
        if limit is not None and size > limit:
            raise UserError(
                f"cache_bytes={limit:,}: {self.name}/{filename} has {size:,} bytes; expected room "
                "for every file"
            )
        partial = self.folder / f".{filename}.{size}{PARTIAL}"
        while True:
            with self._bounded.locked():
                if (self.folder / filename).exists():
                    return None
                under_way = partial.open("rb") if is_locked(partial) else None
                if under_way is None and self._make_room(filename, size, ahead):
                    file = partial.open("wb")
                    fcntl.flock(file, fcntl.LOCK_EX)
                    return _Claim(partial, size, file)
            if under_way is not None:
                with under_way:
                    if ahead:
                        return None
                    fcntl.flock(under_way, fcntl.LOCK_SH)
            elif ahead:
                raise _NoRoomError
            else:
                time.sleep(0.02)  # other transfers hold the room, and they end

    def _make_room(self, filename: str, size: int, ahead: bool) -> bool:
        wanted = [self.folder / name for name in self._wanted]
        here = self.folder / filename
        before = wanted[: wanted.index(here)] if ahead and here in wanted else []
        return self._bounded.make_room(size, before, wanted)

    def _transfer(self, filename: str, claim: _Claim) -> None:
        try:
            for _ in range(_TRANSFERS):
                self.remote.download(filename, claim.path, claim.size)
                if file_digest(claim.path) == self._digests.get(filename):
                    with self._bounded.locked():
                        claim.path.rename(self.folder / filename)
                    return
            raise UserError(
                f"{self.name}/{filename}: damaged, its sha256 is not the recorded one, "
                f"fetched {_TRANSFERS} times"
            )
        except BaseException:
            with self._bounded.locked():
                claim.path.unlink(missing_ok=True)
            raise
        finally:
            claim.file.close()

    # --- other processes -------------------------------------------------------------------

    def _start(self) -> None:
        self._changed, self._in_turn = threading.Condition(), threading.Lock()
        self._wanted, self._settled, self._threads = [], set(), []

    def __getstate__(self) -> dict[str, Any]:
        own = ("_changed", "_in_turn", "_wanted", "_settled", "_threads")
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
