"""Steps of the engine and changes of its weights exclude each other and take turns."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Turns:
    """A lock that is given to whoever has waited, even if its holder asks again at once.

    Python's own would go back to the thread that steps, again and again.
    """

    def __init__(self) -> None:
        self._next, self._running = Lock(), Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it."""
        with self._next:
            self._running.acquire()
        try:
            yield
        finally:
            self._running.release()
