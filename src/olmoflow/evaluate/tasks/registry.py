"""All tasks by name.

A module of `MODULES` has ``tasks()``, which names its tasks and how each is made; nothing is read
until a task's instances are. To add tasks, add such a module and its name.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.task import Task

MODULES = ("olmo_eval", "mmlu", "short_answer")


def find_task(name: str, **settings: Any) -> Task:
    """The task of a name.

    Args:
        name: Such as ``arc_easy:rc``.
        settings: Of the task itself, such as ``samples``; most tasks have none.

    Raises:
        UserError: There is no such task, or it has no such setting; the message names near ones.
    """
    maker = _makers().get(name)
    if maker is None:
        raise UserError(f"task {name}: unknown; {near(name, list_tasks())}")
    known = inspect.signature(maker).parameters
    for key in settings:
        if key not in known:
            takes = ", ".join(known) or "none"
            raise UserError(f"task {name}: has no setting {key}; expected one of: {takes}")
    return maker(**settings)


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
