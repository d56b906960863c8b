"""Starts a confined interpreter for each program, watches it, and ends it."""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from olmoflow.verifiers.sandbox.channel import (
    LOOK_EVERY,
    Channel,
    ChannelClosedError,
    DeadlineError,
    Streams,
)
from olmoflow.verifiers.sandbox.guard import guarded
from olmoflow.verifiers.sandbox.outcome import Ended, Isolation, Limits, Tested, describe
from olmoflow.verifiers.sandbox.surroundings import environment, remove, settings
from olmoflow.verifiers.sandbox.usage import Overstepped, overstepped

log = logging.getLogger(__name__)

START_SECONDS = 60.0
"""For an interpreter to start and confine itself, on a machine that has much else to do."""
END_SECONDS = 5.0
STDERR_BYTES = 100_000
SIGXCPU, SIGKILL = 24, 9

# Without the user's settings and site packages' hooks.
INTERPRETER = (sys.executable, "-I", "-S", "-X", "utf8", "-c")

_BOOT = (
    "import sys; sys.path.append({folder!r}); from sandbox import inside; sys.path.pop(); "
    "inside.main()"
)


class Sandbox:
    """Runs programs, each in an interpreter of its own.

    Args:
        isolation: What holds a program; `isolation.choose` finds what this machine has.
        limits: For each program.
    """

    def __init__(self, isolation: Isolation, limits: Limits) -> None:
        self.isolation = isolation
        self.limits = limits

    def run(self, code: str, stdin: str = "") -> Ended:
        """Run a program with this standard input to its end.

        Raises:
            SandboxError: The sandbox could not be put up.
        """
        with self._started(streams=True) as running:
            running.load("script", code)
            return running.watch(stdin.encode(errors="surrogateescape"))

    def test(self, code: str, tests: Sequence[str], stop: bool = False) -> Tested:
        """Load a program and run statements in its namespace; one that raises has failed.

        Args:
            code: The program.
            tests: Statements.
            stop: After the first that fails.

        Raises:
            SandboxError: It could not be put up.
            SyntaxError: A test is not Python.
        """
        with self._started(streams=False) as running:
            running.load("tests", code)
            return running.ask(tests, stop)

    @contextlib.contextmanager
    def _started(self, streams: bool) -> Iterator[_Running]:
        scratch = os.path.realpath(tempfile.mkdtemp(prefix="olmoflow-sandbox-"))
        try:
            with _Running(scratch, self.isolation, self.limits, streams) as running:
                yield running
        finally:
            remove(scratch)


class _Running:
    """One interpreter from its start to its end."""

    def __init__(self, scratch: str, isolation: Isolation, limits: Limits, streams: bool) -> None:
        self._limits, self._scratch = limits, scratch
        self._own_group = isolation == "none"
        self._computed = 0.0
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        stream = subprocess.PIPE if streams else subprocess.DEVNULL
        boot = _BOOT.format(folder=str(Path(__file__).parents[1]))
        try:
            self.process = subprocess.Popen(
                [*INTERPRETER, boot, str(theirs_in), str(theirs_out)],
                stdin=stream,
                stdout=stream,
                stderr=stream,
                pass_fds=(theirs_in, theirs_out),
                cwd="/",
                env=environment(scratch),
                start_new_session=True,
            )
        except OSError:
            os.close(ours_in)
            os.close(ours_out)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.channel = Channel(ours_in, ours_out, self._look)
        self._settings = settings(scratch, isolation, limits)

    def __enter__(self) -> _Running:
        try:
            self.channel.deadline(START_SECONDS)
            self.channel.send(self._settings)
            answer = self.channel.receive()
        except (ChannelClosedError, DeadlineError) as problem:
            self.__exit__()
            raise SandboxError(
                f"the interpreter did not start ({type(problem).__name__})"
            ) from None
        if "ready" not in answer:
            self.__exit__()
            raise SandboxError(str(answer.get("refused")))
        self.channel.deadline(self._limits.wall_seconds)
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self.channel.close()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def load(self, kind: str, code: str) -> None:
        """Hand over the program.

        Raises:
            SandboxError: It was not taken.
        """
        try:
            self.channel.send({"kind": kind, "code": code})
        except (ChannelClosedError, DeadlineError) as problem:
            raise SandboxError(f"the program was not taken ({type(problem).__name__})") from None

    def watch(self, stdin: bytes) -> Ended:
        """Feed and drain the streams until the program ends or passes a limit."""
        most = int(self._limits.output_mb * 10**6)
        streams, look_at = Streams(self.process, stdin, most, STDERR_BYTES), time.monotonic()
        while not streams.step(self.channel.left(), LOOK_EVERY):
            if streams.overflown:
                return self._end("output", streams)
            if self.channel.left() <= 0:
                return self._end("wall", streams)
            if time.monotonic() >= look_at:  # and not at each of a million small writes
                look_at = time.monotonic() + LOOK_EVERY
                if passed := self._overstepped():
                    return self._end(passed, streams)
        return self._end(None, streams)

    def ask(self, tests: Sequence[str], stop: bool) -> Tested:
        """Hand over the tests one by one."""
        errors: list[str | None] = []
        try:
            loaded = self.channel.receive()
            if loaded.get("loaded") is not True:
                return Tested((f"{loaded.get('error')}",) * len(tests))
            for test in tests:
                errors.append(self._one(test))
                if stop and errors[-1] is not None:
                    break
        except DeadlineError:
            return self._unanswered(errors, tests, self._end("wall"))
        except OversteppedError as passed:
            return self._unanswered(errors, tests, self._end(passed.limit))
        except ChannelClosedError:
            return self._unanswered(errors, tests, self._end(None))
        return Tested((*errors, *["not run"] * (len(tests) - len(errors))))

    def _one(self, test: str) -> str | None:
        token = secrets.token_hex(16)
        self.channel.send({"test": guarded(test), "token": token})
        answer = self.channel.receive()
        if not hmac.compare_digest(str(answer.get("token")).encode(), token.encode()):
            raise ChannelClosedError
        error = answer.get("error", "no result")
        return None if error is None else str(error)

    def _unanswered(self, errors: list[str | None], tests: Sequence[str], ended: Ended) -> Tested:
        reason = describe(ended, self._limits)
        return Tested((*errors, *[reason] * (len(tests) - len(errors))), ended)

    def _end(
        self,
        outcome: Literal["wall", "output"] | Overstepped | None,
        streams: Streams | None = None,
    ) -> Ended:
        """End the program if it has not ended; say how it did."""
        output = bytes(streams.stdout) if streams else b""
        trace = streams.stderr[-2000:].decode(errors="replace") if streams else ""
        if outcome is None and not self._wait(min(END_SECONDS, max(self.channel.left(), 0.1))):
            outcome = "wall"
        self._kill()
        status = self.process.returncode
        if outcome is not None:
            return Ended(outcome, abs(status), output, trace)
        if status == -SIGXCPU or (
            status == -SIGKILL and self._computed >= self._limits.cpu_seconds
        ):
            return Ended("cpu", -status, output, trace)
        return Ended("exited" if status >= 0 else "died", abs(status), output, trace)

    def _wait(self, seconds: float) -> bool:
        """Whether the process has ended, waiting so long for it."""
        until, pause = time.monotonic() + seconds, 0.0005
        while self.process.returncode is None:
            late = time.monotonic() > until  # before the look: this process may be held up between
            if not self._reaped():
                if late:
                    return False
                time.sleep(pause)
                pause = min(2 * pause, 0.02)
        return True

    def _reaped(self) -> bool:
        """Whether the process has ended; then its end is noted, and that of its children made."""
        try:
            if self._own_group and self._ended():
                # Before its number is free, and the group's may be another's.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.process.pid, SIGKILL)
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        except ChildProcessError:
            self.process.returncode = -SIGKILL
            raise SandboxError("this process ignores SIGCHLD: exit statuses are lost") from None
        if pid:
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self._computed = usage.ru_utime + usage.ru_stime
        return bool(pid)

    def _ended(self) -> bool:
        """Whether the process has ended, leaving that to be noted."""
        if not hasattr(os, "waitid"):  # macOS
            return False
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, how) is not None

    def _overstepped(self) -> Overstepped | None:
        return overstepped(self.process.pid, self._scratch, self._limits)

    def _look(self) -> None:
        if passed := self._overstepped():
            raise OversteppedError(passed)

    def _kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self._wait(float("inf"))


class SandboxError(Exception):
    """The sandbox could not be put up."""


class OversteppedError(Exception):
    """The program has passed a limit that is looked after from here."""

    def __init__(self, limit: Overstepped) -> None:
        super().__init__(limit)
        self.limit = limit
