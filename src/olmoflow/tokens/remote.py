"""Files below a URL (s3, gs, http, https) or in a folder, read with patience.

What may pass is tried again: refused and broken connections, time-outs, a server's own errors, a
transfer that ends early. What remains is told in one line that names the URL.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from olmoflow.errors import UserError

_ATTEMPTS = 4
_FIRST_PAUSE = 0.5  # seconds, doubled after each attempt
_CONNECT_SECONDS, _SILENCE_SECONDS = 20, 60
MISSING = "missing"  # ends the message about a file that is not there
# Statuses of HTTP below 500 that may pass: request time-out, too many requests.
_PASSING, _NOT_FOUND = (408, 429), 404

Result = TypeVar("Result")


class Remote:
    """The files below a URL.

    Args:
        url: A folder; with or without a protocol.

    Raises:
        UserError: The protocol is unknown, or the package that speaks it is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url.rstrip("/")
        options: dict[str, Any] = {}
        if self.url.startswith(("http://", "https://")):
            import aiohttp

            # Large files take long; what must not last is silence.
            timeout = aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS
            )
            options["client_kwargs"] = {"timeout": timeout}
        try:
            self._files, self._root = fsspec.url_to_fs(self.url, **options)
        except (ImportError, ValueError) as error:
            raise UserError(f"{self.url}: {_first_line(error)}") from error

    def size(self, name: str) -> int:
        """Bytes of a file; 0 if the server does not say.

        Raises:
            UserError: It is missing or cannot be reached, as for the other methods.
        """
        info = self._patiently(name, lambda path: self._files.info(path))
        return int(info.get("size") or 0)

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes [start, end) of a file."""

        def read(path: str) -> bytes:
            if end is None and not start:
                return bytes(self._files.cat_file(path))
            data = bytes(self._files.cat_file(path, start=start, end=end))
            if end is not None and len(data) > end - start:
                data = data[start:end]  # a server that knows no ranges sent everything
            return data

        return self._patiently(name, read)

    def download(self, name: str, target: Path, size: int) -> None:
        """Copy a file of ``size`` bytes (0: not known) to a path."""

        def download(path: str) -> None:
            self._files.get_file(path, str(target))
            found = target.stat().st_size
            if size and found != size:
                raise ConnectionError(f"{found:,} of {size:,} bytes arrived")

        self._patiently(name, download)

    def _patiently(self, name: str, action: Callable[[str], Result]) -> Result:
        for attempt in range(_ATTEMPTS):
            try:
                return action(f"{self._root}/{name}")
            except Exception as error:  # each file system has its own
                if not _may_pass(error):
                    raise UserError(f"{self.url}/{name}: {_reason(error)}") from error
                if attempt == _ATTEMPTS - 1:
                    raise UserError(
                        f"{self.url}/{name}: cannot be fetched, tried {_ATTEMPTS} times: "
                        f"{_reason(error)}"
                    ) from error
            time.sleep(_FIRST_PAUSE * 2**attempt)
        raise AssertionError


def _may_pass(error: Exception) -> bool:
    cause = error.__cause__ or error
    status = getattr(cause, "status", None)
    if isinstance(status, int):
        return status in _PASSING or status >= 500
    if isinstance(error, FileNotFoundError):
        # fsspec's HTTP says so of a server that it cannot reach, too.
        return isinstance(cause, ConnectionError | TimeoutError) or _of_aiohttp(cause)
    return not isinstance(error, PermissionError | IsADirectoryError | ImportError | ValueError)


def _reason(error: Exception) -> str:
    cause = error.__cause__ if error.__cause__ and _of_aiohttp(error.__cause__) else error
    if isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == _NOT_FOUND:
        return MISSING
    return _first_line(cause) or type(cause).__name__


def _of_aiohttp(error: BaseException) -> bool:
    return type(error).__module__.startswith("aiohttp")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
