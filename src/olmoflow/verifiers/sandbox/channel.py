"""Talking to a process that may say anything, or nothing: never longer than the deadline."""

from __future__ import annotations

import json
import marshal
import os
import select
import selectors
import subprocess
import time
from collections.abc import Callable
from typing import IO, Any

LONGEST_MESSAGE = 1_000_000
CHUNK = 65_536
LOOK_EVERY = 0.25
"""Seconds between two looks at what the other side does while it is waited for."""


class ChannelClosedError(Exception):
    """The other side has gone, or does not keep to the protocol."""


class DeadlineError(Exception):
    """The deadline has passed."""


class Channel:
    """Messages over two pipes: marshalled ones go out, and lines of JSON, which can do no harm,
    come in.

    Args:
        source: Pipe to read from; closed by `close`.
        sink: Pipe to write to; closed by `close`.
        look: Called while the other side is waited for; what it raises ends the wait.
    """

    def __init__(self, source: int, sink: int, look: Callable[[], None] = lambda: None) -> None:
        self._source, self._sink, self._look = source, sink, look
        self._buffer = bytearray()
        self._until = 0.0
        os.set_blocking(source, False)
        os.set_blocking(sink, False)

    def deadline(self, seconds: float) -> None:
        """From now on, so many seconds."""
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._until - time.monotonic()

    def send(self, message: dict[str, Any]) -> None:
        """Write one message.

        Raises:
            ChannelClosedError: Nobody reads.
            DeadlineError: Nobody reads in time.
        """
        line = memoryview((marshal.dumps(message).hex() + "\n").encode())
        while line:
            self._wait(self._sink, select.POLLOUT)
            try:
                line = line[os.write(self._sink, line[:CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise ChannelClosedError from None

    def receive(self) -> dict[str, Any]:
        """Read one message.

        Raises:
            ChannelClosedError: None will come, or it is none.
            DeadlineError: None came in time.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            self._wait(self._source, select.POLLIN)
            try:
                chunk = os.read(self._source, CHUNK)
            except BlockingIOError:
                continue
            if not chunk or len(self._buffer) > LONGEST_MESSAGE:
                raise ChannelClosedError
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return _parsed(line)

    def close(self) -> None:
        """Close both pipes."""
        os.close(self._source)
        os.close(self._sink)

    def _wait(self, pipe: int, event: int) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        while self.left() > 0:
            if poll.poll(min(self.left(), LOOK_EVERY) * 1000):
                return
            self._look()
        raise DeadlineError


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise ChannelClosedError from None
    if not isinstance(message, dict):
        raise ChannelClosedError
    return message


class Streams:
    """A process's standard streams, fed and drained at once.

    Args:
        process: Started with pipes.
        stdin: What it reads.
        most: Bytes of standard output; more is `overflown`.
        most_errors: Bytes of standard error that are kept, from its end.

    Attributes:
        stdout: What it wrote.
        stderr: The end of it.
        overflown: It wrote too much.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], stdin: bytes, most: int, most_errors: int
    ) -> None:
        self.stdout, self.stderr, self.overflown = bytearray(), bytearray(), False
        self._stdin, self._most, self._most_errors = memoryview(stdin), most, most_errors
        self._selector = selectors.DefaultSelector()
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for stream, event, what in (
            (process.stdin, selectors.EVENT_WRITE, "stdin"),
            (process.stdout, selectors.EVENT_READ, "stdout"),
            (process.stderr, selectors.EVENT_READ, "stderr"),
        ):
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, event, what)

    def step(self, left: float, at_most: float) -> bool:
        """Move what can be moved, waiting no longer than either.

        Returns:
            Whether both outputs are closed.
        """
        for key, _ in self._selector.select(max(0.0, min(left, at_most))):
            stream: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if key.data == "stdin":
                self._feed(stream)
            else:
                self._drain(stream, key.data)
        return not {"stdout", "stderr"} & {key.data for key in self._selector.get_map().values()}

    def _feed(self, stream: IO[bytes]) -> None:
        try:
            self._stdin = self._stdin[os.write(stream.fileno(), self._stdin[:CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not read
            self._stdin = memoryview(b"")
        if not self._stdin:
            self._selector.unregister(stream)
            stream.close()

    def _drain(self, stream: IO[bytes], what: str) -> None:
        try:
            chunk = os.read(stream.fileno(), CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._selector.unregister(stream)
        elif what == "stderr":
            self.stderr += chunk
            del self.stderr[: -self._most_errors]
        else:
            self.stdout += chunk
            self.overflown = len(self.stdout) > self._most
