"""A JSON file of somebody else's, read as data."""

import json
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError


def read_json_object(path: Path) -> dict[str, Any]:
    """The object that a file holds.

    Raises:
        UserError: It is no JSON, or holds no object.
    """
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: {type(found).__name__} found, a JSON object expected")
    return found
