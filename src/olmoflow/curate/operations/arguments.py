"""Arguments that cannot be: refused in one line that names operation and key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from olmoflow.errors import UserError


def refuse(operation: str, key: str, value: object, expected: str) -> NoReturn:
    """Say what was found and what was expected.

    Raises:
        UserError: Always.
    """
    raise UserError(f"{operation}.{key}={value!r}: expected {expected}")


def require_choice(operation: str, key: str, value: Any, choices: Sequence[Any]) -> None:
    """Demand one of a few values.

    Raises:
        UserError: It is none of them.
    """
    if value not in choices:
        refuse(operation, key, value, f"one of {', '.join(map(str, choices))}")


def require_order(operation: str, lower: float, upper: float) -> None:
    """Demand that the bounds leave something between them.

    Raises:
        UserError: The lower one is above the upper one.
    """
    if not lower <= upper:
        refuse(operation, "lower_bound", lower, f"no more than upper_bound={upper!r}")


def require_share(operation: str, key: str, value: float) -> None:
    """Demand a number from 0 to 1.

    Raises:
        UserError: It is none.
    """
    if not 0 <= value <= 1:
        refuse(operation, key, value, "a number from 0 to 1")


def require_file(operation: str, key: str, value: str) -> Path:
    """Demand a file that is there.

    Raises:
        UserError: It is not.
    """
    path = Path(value).expanduser()
    if not path.is_file():
        refuse(operation, key, value, "a file")
    return path
