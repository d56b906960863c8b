"""A pipeline's steps, checked before anything is read, and grouped into passes.

In YAML a step is ``{name: …, <its arguments>}``, or only a name. One more key is not the class's:
``label``, what the step is called in reports; its name, unless another step has it already.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

from olmoflow.curate.pipeline.registry import Entry, Kind, find
from olmoflow.errors import UserError


@dataclass(frozen=True)
class Step:
    """A step of a pipeline.

    Attributes:
        label: Unique in the pipeline.
        kind: ``map``, ``stage`` or ``rearrange``.
        target: Dotted path of its class.
        settings: The arguments of its class.
    """

    label: str
    kind: Kind
    target: str
    settings: Mapping[str, Any]

    def build(self) -> Any:
        """The operation or stage itself."""
        return Entry(self.kind, self.target).load()(**self.settings)


@dataclass(frozen=True)
class Pass:
    """Steps that are done together: consecutive map operations, or one stage by itself."""

    number: int
    kind: Kind
    steps: tuple[Step, ...]

    @property
    def name(self) -> str:
        """A folder's name."""
        last = f"-{self.steps[-1].label}" if self.steps else ""
        return f"{self.number:02d}-{self.kind}{last}"


def steps_of(nodes: Sequence[Any], key: str = "pipeline.steps") -> list[Step]:
    """The steps of a pipeline's config.

    Raises:
        UserError: A name or argument is unknown, missing or of the wrong type; it names the key.
    """
    if not isinstance(nodes, list | tuple):
        raise UserError(f"{key}: found {type(nodes).__name__}, expected a list of steps")
    steps: list[Step] = []
    labels: set[str] = set()
    for number, node in enumerate(nodes):
        place = f"{key}[{number}]"
        node = {"name": node} if isinstance(node, str) else node
        if not isinstance(node, Mapping) or not isinstance(node.get("name"), str):
            raise UserError(f"{place}: expected the name of a step, or {{name: …, arguments}}")
        entry = find(node["name"], f"{place}.name")
        settings = {k: v for k, v in node.items() if k not in ("name", "label")}
        settings = check_settings(entry.load(), settings, f"{place} {node['name']}")
        label = _label(node, labels, place)
        labels.add(label)
        steps.append(Step(label, entry.kind, entry.target, settings))
    return steps


def build_step(name: str, settings: Mapping[str, Any]) -> Any:
    """One operation or stage, checked as a pipeline's; for use without one.

    Raises:
        UserError: A name or argument is unknown, missing or of the wrong type; it names the key.
    """
    (step,) = steps_of([{**settings, "name": name}], "steps")
    return step.build()


def check_values(steps: Sequence[Step], key: str = "pipeline.steps") -> None:
    """Build every step once: what its class refuses is told before anything is read.

    Raises:
        UserError: A value will not do, or a file is missing; it names the step.
    """
    for number, step in enumerate(steps):
        try:
            step.build()
        except UserError as error:
            raise UserError(f"{key}[{number}] {_placed(str(error), step)}") from error


def _placed(message: str, step: Step) -> str:
    """What a class says of its arguments, with the step before it where it is not told."""
    if message.startswith((f"{step.label}.", f"{step.label}:")):
        return message
    argument = re.match(r"\w+", message)
    known = inspect.signature(Entry(step.kind, step.target).load()).parameters
    return f"{step.label}{'.' if argument and argument[0] in known else ': '}{message}"


def _label(node: Mapping[str, Any], taken: set[str], place: str) -> str:
    given = node.get("label")
    if given is not None:
        if str(given) in taken:
            raise UserError(f"{place}.label={given}: another step has it; labels are unique")
        return str(given)
    label, number = node["name"], 1
    while label in taken:
        number += 1
        label = f"{node['name']}_{number}"
    return str(label)


def check_settings(target: type, settings: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Check arguments against the signature of a class, which is their schema.

    Returns:
        The arguments, as their types have them: ``1e6`` as the integer that is asked for.

    Raises:
        UserError: It names the argument and what would do.
    """
    parameters = inspect.signature(target).parameters
    try:
        hints = typing.get_type_hints(target.__init__)  # type: ignore[misc]
    except (NameError, TypeError):
        hints = {}  # an annotation that only a type checker can resolve; names are still checked
    typed = dict(settings)
    for name, value in settings.items():
        if name not in parameters:
            close = get_close_matches(name, parameters, n=1)
            taken = f"it takes {', '.join(parameters)}" if parameters else "it takes none"
            hint = f"did you mean {close[0]}?" if close else taken
            raise UserError(f"{place}.{name}: no such argument; {hint}")
        if isinstance(value, bool) and hints.get(name) in (int, float):
            # Pydantic would take true for 1.
            raise UserError(f"{place}.{name}={value}: expected {_written(hints[name])}")
        try:
            config = ConfigDict(arbitrary_types_allowed=True)
            typed[name] = TypeAdapter(hints.get(name, Any), config=config).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"].lower()
            raise UserError(f"{place}.{name}={value!r}: {message}") from error
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
            pass  # a type that no config can hold
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in settings:
            raise UserError(f"{place}.{name}: missing; expected {_written(hints.get(name, Any))}")
    return typed


def _written(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def passes_of(steps: Sequence[Step]) -> list[Pass]:
    """Steps grouped into passes; the first one, which reads the sources, is always a map pass."""
    return list(_passes(steps))


def _passes(steps: Sequence[Step]) -> Iterator[Pass]:
    number, together = 0, []
    for step in steps:
        if step.kind == "map":
            together.append(step)
            continue
        if together or number == 0:
            yield Pass(number, "map", tuple(together))
            number, together = number + 1, []
        yield Pass(number, step.kind, (step,))
        number += 1
    if together or number == 0:
        yield Pass(number, "map", tuple(together))


def identity(value: Any) -> str:
    """A hash of plain values: 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
