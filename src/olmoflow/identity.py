"""What makes two pieces of work the same: the key of an artifact, and how two requests differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from olmoflow.artifact import Input

# Settings that change how a command runs or reports, never what it computes.
NOT_IN_KEY = frozenset(
    {"name", "output", "dry_run", "group"}  # what it is called and what is said of it
    | {"logger", "cluster", "parallel", "runtime", "save", "log_every", "evaluation"}
)


def key_of(command: str, config: Mapping[str, Any], inputs: Sequence[Input]) -> str:
    """The identity of a piece of work: 12 hexadecimal digits."""
    identity = {
        "command": command,
        "config": {k: v for k, v in config.items() if k not in NOT_IN_KEY},
        "inputs": sorted((i.role, i.key, i.step or 0) for i in inputs),
    }
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def difference(held: Mapping[str, Any], wanted: Mapping[str, Any], limit: int = 4) -> str:
    """The first few values in which two requests differ, as ``key: old -> new``."""
    old, new = (
        flatten({k: v for k, v in request["config"].items() if k not in NOT_IN_KEY})
        | {f"input {i['role']}": f"{i['name']} ({i['key']})" for i in request["inputs"]}
        | {"command": request["command"]}
        for request in (held, wanted)
    )
    missing = object()
    rows = [
        f"{k}: {old.get(k, 'absent')} -> {new.get(k, 'absent')}"
        for k in sorted(old.keys() | new.keys())
        if old.get(k, missing) != new.get(k, missing)
    ]
    more = f" and {len(rows) - limit} more" if len(rows) > limit else ""
    return ", ".join(rows[:limit]) + more


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """The plain values of a config by their keys, ``optimizer.lr`` and the like."""
    if isinstance(value, Mapping) and value:
        flat: dict[str, Any] = {}
        for key, each in value.items():
            flat |= flatten(each, f"{prefix}.{key}" if prefix else str(key))
        return flat
    return {prefix: value}
