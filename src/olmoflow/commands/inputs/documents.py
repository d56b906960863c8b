"""How long a document of an input may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olmoflow.artifact import Input
from olmoflow.errors import UserError

KEY = "max_document_bytes"
# A line has to be held whole, several times over while it is decoded.
_OF_PLAIN_FILES = 100_000_000


def where_given(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without the limit where it is null, for a work's identity.

    So what was made before there was a limit keeps its key.
    """
    return {key: value for key, value in config.items() if key != KEY or value is not None}


def longest_document(config: Mapping[str, Any], source: Input) -> int | None:
    """Bytes of a line or text above which it is set apart as malformed; None: no limit.

    Where the config says nothing, plain files have a limit, and a curated corpus has none: it had
    one when it was made, and what has passed is to be learnt.

    Raises:
        UserError: It is no positive number.
    """
    if config[KEY] is None:
        return None if source.kind == "corpus" else _OF_PLAIN_FILES
    try:
        found = int(float(config[KEY]))
    except (TypeError, ValueError, OverflowError):
        found = 0
    if found < 1:
        raise UserError(f"{KEY}={config[KEY]}: expected a number of bytes above 0, or null")
    return found
