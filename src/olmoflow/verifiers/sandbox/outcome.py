"""What a program may take, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from olmoflow.errors import UserError

Isolation = Literal["landlock", "namespaces", "none"]


@dataclass(frozen=True)
class Limits:
    """What one program may take.

    Attributes:
        cpu_seconds: Of computing, all threads together.
        wall_seconds: From its start to its end.
        memory_mb: Address space.
        output_mb: Of standard output.
        file_mb: Of one file.
        scratch_mb: Of all files.
        open_files: At one time.
        threads: At one time.
    """

    cpu_seconds: int = 10
    wall_seconds: float = 30.0
    memory_mb: int = 1024
    output_mb: float = 10.0
    file_mb: int = 16
    scratch_mb: int = 64
    open_files: int = 64
    threads: int = 256

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise UserError(f"{name}: found {value}, expected more than 0")


@dataclass(frozen=True)
class Ended:
    """How a program ended.

    Attributes:
        outcome: ``exited`` (`code` is its status), ``died`` (of signal `code`), ``cpu`` or
            ``wall`` (it took too long), ``output`` or ``scratch`` (it wrote too much), ``threads``
            (it started too many).
        code: Exit status or signal.
        stdout: What it wrote, up to the limit.
        stderr: The end of that.
    """

    outcome: Literal["exited", "died", "cpu", "wall", "output", "scratch", "threads"]
    code: int = 0
    stdout: bytes = b""
    stderr: str = ""


@dataclass(frozen=True)
class Tested:
    """What a program's tests came to.

    Attributes:
        errors: For each test what went wrong, None where it passed.
        ended: How the program ended, where it did so before its tests.
    """

    errors: tuple[str | None, ...]
    ended: Ended | None = None


def describe(ended: Ended, limits: Limits) -> str:
    """How a program ended, for people."""
    return {
        "exited": f"the program ended by itself with status {ended.code}",
        "died": f"the program died of signal {ended.code}",
        "cpu": f"the program computed for more than {limits.cpu_seconds} s",
        "wall": f"the program took more than {limits.wall_seconds:g} s",
        "output": f"the program wrote more than {limits.output_mb:g} MB",
        "scratch": f"the program's files grew beyond {limits.scratch_mb} MB",
        "threads": f"the program started more than {limits.threads} threads",
    }[ended.outcome]
