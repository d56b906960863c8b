"""All tasks by name.

A module of `MODULES` has ``tasks()``, which names its tasks and how each is made; nothing is read
until a task's instances are. To add tasks, add such a module and its name.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.task import Task

MODULES = (
    "olmo_eval",
    "mmlu",
    "datasets",
    "short_answer",
    "mathematics",
    "programs",
    "instructions",
    "reasoning",
    "ruler",
)


def find_task(name: str, /, **settings: Any) -> Task:
    """The task of a name.

    Args:
        name: Such as ``arc_easy:rc``.
        settings: Of the task itself, such as ``samples``; most tasks have none.

    Raises:
        UserError: There is no such task, or it has no such setting, or one of another type; the
            message names near ones.
    """
    maker = _makers().get(name)
    if maker is None:
        raise UserError(f"task {name}: unknown; {near(name, list_tasks())}")
    known = inspect.signature(maker).parameters
    for key in settings:
        if key not in known:
            takes = ", ".join(known) or "none"
            raise UserError(f"task {name}: has no setting {key}; expected one of: {takes}")
    hints = _type_hints(maker)
    for key, value in settings.items():
        try:
            TypeAdapter(hints.get(key, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].lower()
            raise UserError(f"task {name}: {key}={value!r}: {reason}") from error
    return maker(**settings)


def _type_hints(maker: Any) -> dict[str, Any]:
    while isinstance(maker, partial):
        maker = maker.func
    return typing.get_type_hints(maker.__init__ if inspect.isclass(maker) else maker)


def list_tasks() -> list[str]:
    """The names of all tasks, in order."""
    return sorted(_makers())


def near(name: str, known: list[str]) -> str:
    """What a mistyped name may have meant, for messages."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    same = [other for other in known if other.split(":")[0] == name.split(":")[0]][:5]
    if close or same:
        return f"did you mean {', '.join(dict.fromkeys([*close, *same]))}?"
    return f"there are {len(known)}, such as {', '.join(known[:3])}"


@cache
def _makers() -> Mapping[str, Callable[..., Task]]:
    made: dict[str, Callable[..., Task]] = {}
    for module in MODULES:
        tasks = importlib.import_module(f"olmoflow.evaluate.tasks.{module}").tasks()
        if twice := made.keys() & tasks.keys():
            raise RuntimeError(f"tasks named twice: {', '.join(sorted(twice))}")
        made.update(tasks)
    return made
