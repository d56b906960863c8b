"""The steps of a flow file: what each needs, and the command line that each becomes.

::

    steps:
      NAME:
        command: train
        title: what it is for
        inputs: {shards: STEP}            # what an earlier step made
        overrides: {model: olmo3_tiny}
        sweep: {init_seed: [1, 2, 3]}     # one job for each combination
        after: [STEP]                     # waits for these as well

A step whose result lists several of a kind (``mixtures`` for the key ``mixture``) is like a sweep.
``inputs: {checkpoint: STEP@200}`` is training step 200 of the checkpoint that a step made.
An input from a sweep makes the step a sweep over what its jobs made; as a list
(``inputs: {checkpoints: [STEP]}``) it is all of them at once, and ``inputs: {group: STEP}`` is the
sweep's group, for ``report``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from olmoflow.artifact import KINDS
from olmoflow.commands.main import HYDRA_COMMANDS
from olmoflow.errors import UserError

_FIELDS = {"after", "command", "inputs", "overrides", "sweep", "title"}
Result = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One command of a flow.

    Attributes:
        name: Its name.
        title: A line for people.
        command: The command.
        inputs: Its config key -> the step, or the list of steps, that made it.
        overrides: Its settings.
        sweep: Settings with several values each.
        after: Further steps that it waits for.
    """

    name: str
    title: str
    command: str
    inputs: Mapping[str, str | Sequence[str]]
    overrides: Mapping[str, Any]
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    after: Sequence[str] = ()

    @property
    def needs(self) -> set[str]:
        """The steps that must have finished before."""
        named = (_sources(source) for source in self.inputs.values())
        return {_origin(each)[0] for sources in named for each in sources} | set(self.after)

    def arguments(self, results: Mapping[str, Result], group: str = "flow") -> list[str]:
        """Its command line, given the results of the steps before.

        Args:
            results: By step. What a step has not told stands as ``<step>``.
            group: Of the flow; a sweep's group begins with it.
        """
        given = {key: self._made(key, results) for key in self.inputs}
        single = {k: v[0] for k, v in given.items() if len(v) == 1}
        several = {k: v for k, v in given.items() if len(v) > 1} | dict(self.sweep)
        line = [self.command, *(_argument(k, v) for k, v in {**single, **self.overrides}.items())]
        if not several:
            return line
        line += [f"{k}={','.join(map(_value, values))}" for k, values in several.items()]
        return [line[0], "-m", *line[1:], f"group={self.labelled(group, line)}"]

    def cells(self, results: Mapping[str, Result], group: str) -> list[list[str]]:
        """Its command lines with a ``name=`` for each, known before anything has run."""
        given = {key: self._made(key, results) for key in self.inputs}
        varied = {**given, **self.sweep}
        lines = []
        for values in product(*varied.values()):
            settings = {**dict(zip(varied, values, strict=True)), **self.overrides}
            line = [self.command, *(_argument(k, v) for k, v in settings.items())]
            lines.append(line)
        if len(lines) == 1:
            (line,) = lines
            return [[*line, self._name(group, line)]]
        together = f"group={self.labelled(group, [a for line in lines for a in line])}"
        return [[*line, self._name(group, line), together] for line in lines]

    def labelled(self, group: str, line: Sequence[str]) -> str:
        """A name that says where it comes from, and is another when the settings are."""
        return f"{group}-{self.name}-{hashlib.sha256(json.dumps(line).encode()).hexdigest()[:8]}"

    def _name(self, group: str, line: Sequence[str]) -> str:
        return f"name={self.labelled(group, line)}"

    def _made(self, key: str, results: Mapping[str, Result]) -> list[Any]:
        source = self.inputs[key]
        found = []
        for each in _sources(source):
            step, at = _origin(each)
            made = _made(key, step, results[step])
            found += [_text(f"{one}{at}" if at else one) for one in made]
        return found if isinstance(source, str) else [found]


def parse_steps(steps: Mapping[str, Mapping[str, Any]]) -> list[Step]:
    """Check the steps of a flow file.

    Raises:
        UserError: A step has an unknown field, an unknown command, an input that no earlier step
            makes, or a sweep without values.
    """
    parsed: dict[str, Step] = {}
    for name, node in steps.items():
        where = f"flow.steps.{name}"
        for each in node:
            if each not in _FIELDS:
                raise UserError(f"{where}.{each}: expected one of {', '.join(sorted(_FIELDS))}")
        command = node.get("command")
        if command not in HYDRA_COMMANDS:
            raise UserError(f"{where}.command={command}: no such command")
        sweep = node.get("sweep") or {}
        for key, values in sweep.items():
            if not isinstance(values, list) or not values:
                raise UserError(f"{where}.sweep.{key}={values}: expected a list of values")
        step = Step(
            name,
            node.get("title") or name,
            command,
            node.get("inputs") or {},
            node.get("overrides") or {},
            sweep,
            node.get("after") or [],
        )
        for key, source in {**step.inputs, "after": step.after}.items():
            for each in _sources(source):
                if _origin(each)[0] not in parsed:
                    field_name = key if key == "after" else f"inputs.{key}"
                    raise UserError(f"{where}.{field_name}={each}: no earlier step has this name")
        parsed[name] = step
    return list(parsed.values())


def _sources(source: str | Sequence[str]) -> Sequence[str]:
    return [source] if isinstance(source, str) else source


def _origin(source: str) -> tuple[str, str]:
    """The step of a flow that an input names, and ``@N`` where it names a training step of it."""
    step, at, number = source.partition("@")
    return step, at + number


def _made(key: str, step: str, result: Result) -> list[Any]:
    """What a step made for a config key: one thing, or one a job of a sweep."""
    if isinstance(several := result.get(f"{key}s"), list):
        return several  # one command may make several of a kind
    if key in result:
        return [result[key]]
    if "jobs" in result:
        finished = [job["result"] for job in result["jobs"] if job["status"] == "finished"]
        return [made for each in finished for made in _made(key, step, each)]
    # `checkpoints: [STEP]` asks for each step's checkpoint, `runs: [STEP]` for whatever it is.
    for candidate in (key.removesuffix("s"), *KINDS):
        if candidate in result:
            return [result[candidate]]
    return [f"<{step}>"]


def _text(made: Any) -> Any:
    """A name as Hydra reads it: a key may have digits alone, and must not become a number."""
    return f'"{made}"' if isinstance(made, str) and re.fullmatch(r"[\d_.eE]+", made) else made


def _argument(key: str, value: Any) -> str:
    return f"{key}={_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        # A title with a comma would be read as the values of a sweep.
        return json.dumps(value) if "," in value and value[0].isalpha() else value
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_value(each)}' for key, each in value.items())}}}"
    return json.dumps(value)
