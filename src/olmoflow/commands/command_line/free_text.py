"""Free text on the command line, taken before Hydra's grammar can read anything into it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from olmoflow.errors import UserError

_TEXT_KEYS = ("prompt", "text")


def take_free_text(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split ``prompt=…`` and ``text=…`` from the other arguments.

    ``prompt_file=PATH`` and ``text_file=PATH`` read a file, ``-`` standard input. The text comes
    back exactly as written: no quoting, no interpolation, no type.

    Returns:
        The texts by key, and the remaining arguments.

    Raises:
        UserError: A text is given twice, or its file cannot be read as UTF-8.
    """
    texts: dict[str, str] = {}
    rest: list[str] = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        name = key.removesuffix("_file")
        if not equals or name not in _TEXT_KEYS:
            rest.append(argument)
            continue
        if name in texts:
            raise UserError(f"{key}: {name} is given twice; expected {name}= or {name}_file= once")
        texts[name] = _read(key, value) if key.endswith("_file") else value
    return texts, rest


def _read(key: str, path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise UserError(f"{key}={path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{key}={path}: invalid UTF-8 at byte {error.start}") from error
