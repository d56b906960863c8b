"""What steps there are and what each does and takes, from their classes: for people to read."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from olmoflow.curate.pipeline import registry
from olmoflow.curate.pipeline.registry import MAPS, REARRANGEMENTS, STAGES, find

# A required argument has this instead of a default.
REQUIRED = "???"
_ABOUT = {
    "map": "map operation: looks at one document",
    "stage": "stage: looks at all documents",
    "rearrange": "rearrangement: writes the documents into other shards",
}


def names() -> list[str]:
    """All steps: map operations, stages, rearrangements."""
    return [*registry.map_operations(), *MAPS, *STAGES, *REARRANGEMENTS]


def defaults(name: str) -> dict[str, Any]:
    """The arguments of a step and their defaults, or `REQUIRED`."""
    target = find(name, "describe").load()
    made = {
        f.name: f.default_factory()
        for f in (dataclasses.fields(target) if dataclasses.is_dataclass(target) else ())
        if f.default_factory is not dataclasses.MISSING
    }
    return {
        argument: made.get(argument, REQUIRED if p.default is p.empty else p.default)
        for argument, p in inspect.signature(target).parameters.items()
    }


def summary(name: str) -> str:
    """What a step does, in the first line of its docstring."""
    return described(name).partition("\n")[0]


def described(name: str) -> str:
    """The docstring of a step's class."""
    return inspect.getdoc(find(name, "describe").load()) or ""


def page(name: str) -> dict[str, Any]:
    """``name``, ``kind``, ``arguments`` with their defaults, and ``text``.

    Raises:
        UserError: There is no such step.
    """
    kind = _ABOUT[find(name, "describe").kind]
    return {"name": name, "kind": kind, "arguments": defaults(name), "text": described(name)}
