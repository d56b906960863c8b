"""What of a pipeline is finished: a folder a pass, so that a rerun resumes there.

``WORK/plan.json`` says whose work it is; under another plan the folder is emptied. A pass is
finished when its ``done.json`` is there, written last, by rename. Its shards are removed once the
next pass is finished.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from olmoflow.curate.pipeline.account import Account, from_plain, merged, to_plain
from olmoflow.curate.pipeline.workers import account_file
from olmoflow.digests import write_json

_DONE = "done.json"
_PLAN = "plan.json"


@dataclass
class PassResult:
    """What a finished pass left.

    Attributes:
        folder: Of the pass.
        shards: Its shards in their order.
        accounts: One a step.
        errors: What could not be worked on.
        first_error: One of them, as a line.
        extra: Whatever else its units counted, summed.
        figures: What a stage says of itself.
    """

    folder: Path
    shards: list[Path]
    accounts: list[Account]
    errors: int = 0
    first_error: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)


class WorkFolder:
    """The folder of a pipeline's unfinished work.

    Args:
        path: Of the folder.
        plan: The identity of the pipeline and its sources.

    Attributes:
        resumed: Whether there is work of the same plan in it.
    """

    def __init__(self, path: Path, plan: str) -> None:
        self.path = path
        file = path / _PLAN
        self.resumed = file.is_file() and json.loads(file.read_text()) == plan
        if path.exists() and not self.resumed:
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        write_json(file, plan)

    def folder(self, name: str) -> Path:
        """The folder of a pass."""
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder

    def finished(self, name: str) -> PassResult | None:
        """What a pass left, if it is finished."""
        folder = self.path / name
        if not (folder / _DONE).is_file():
            return None
        done = json.loads((folder / _DONE).read_text())
        done["shards"] = [folder / s for s in done["shards"]]
        done["accounts"] = [from_plain(a) for a in done["accounts"]]
        return PassResult(folder, **done)

    def finish(self, result: PassResult) -> None:
        """Declare a pass finished."""
        write_json(
            result.folder / _DONE,
            {
                "shards": [s.relative_to(result.folder).as_posix() for s in result.shards],
                "accounts": [to_plain(a) for a in result.accounts],
                "errors": result.errors,
                "first_error": result.first_error,
                "extra": result.extra,
                "figures": result.figures,
            },
        )

    def forget(self, result: PassResult) -> None:
        """Remove the shards of a pass that the next one has read; what it counted stays."""
        for shard in result.shards:
            shard.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path)


def gathered(folder: Path, units: Sequence[dict[str, Any]]) -> PassResult:
    """What the units of a pass left, added up in their order."""
    found = [json.loads(account_file(folder, u["number"]).read_text()) for u in units]
    accounts = merged([from_plain(a) for a in f["accounts"]] for f in found)
    extra: dict[str, Any] = {}
    for each in found:
        for key, value in each.items():
            if key not in ("shards", "accounts", "errors", "first_error"):
                extra[key] = _sum(extra.get(key), value)
    return PassResult(
        folder,
        [folder / s for f in found for s in f["shards"]],
        accounts,
        sum(f["errors"] for f in found),
        next((f["first_error"] for f in found if f["first_error"]), ""),
        extra,
    )


def _sum(one: Any, other: Any) -> Any:
    """The sum of plain values: numbers, lists place by place, objects key by key."""
    if one is None:
        return other
    if isinstance(other, dict):
        keys = [*one, *(k for k in other if k not in one)]
        return {k: _sum(one.get(k), other[k]) if k in other else one[k] for k in keys}
    if isinstance(other, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    return one + other
