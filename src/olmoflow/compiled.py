"""numba's `njit`, for processes that compile the same loops at the same time.

numba keeps of each function an index of its versions, one for each kind of arguments, and a file of
machine code for each. It writes both whole, but without regard to other processes: of two that
compile different versions for the first time, one may leave the index and the other the file, and
all later calls run the code of the wrong version. Here a lock on their folder keeps them apart. It
is numba's own class that is replaced, since `njit` takes no other.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from numba import njit
from numba.core import caching

__all__ = ["njit"]


@contextmanager
def _locked(folder: str, how: int) -> Iterator[None]:
    try:
        lock = os.open(f"{folder}/.numba.lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # a folder that is not there yet, or that nobody writes to
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, how)
        yield
    finally:
        # Said, for a child that is forked meanwhile would keep the lock with the file.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


class _LockedCacheFile(caching.IndexDataCacheFile):
    def save(self, key: Any, data: Any) -> None:
        with _locked(self._cache_path, fcntl.LOCK_EX):
            super().save(key, data)  # type: ignore[no-untyped-call]

    def load(self, key: Any) -> Any:
        with _locked(self._cache_path, fcntl.LOCK_SH):
            return super().load(key)  # type: ignore[no-untyped-call]


caching.IndexDataCacheFile = _LockedCacheFile  # type: ignore[misc]
