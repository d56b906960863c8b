"""Where W&B has been told of an artifact, so that a later command does not tell it twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.digests import write_json

if TYPE_CHECKING:
    from olmoflow.train.tracking import WandbSettings

LOGGED = "wandb_logged.json"


def place_of(settings: WandbSettings, *, online: bool) -> dict[str, Any]:
    """Where something is filed; what is offline, W&B itself has yet to hear of."""
    return {
        "project": settings.project,
        "entity": settings.entity,
        "group": settings.group,
        "tags": list(settings.tags),
        "online": online,
    }


def logged(folder: Path) -> list[dict[str, Any]]:
    """What W&B has been told of the artifact in this folder, and where."""
    file = folder / LOGGED
    return json.loads(file.read_text()) if file.is_file() else []


def note(folder: Path, entry: Mapping[str, Any]) -> None:
    """Remember that W&B has been told."""
    write_json(folder / LOGGED, [*logged(folder), dict(entry)])
