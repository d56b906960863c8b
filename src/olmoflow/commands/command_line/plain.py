"""Arguments of the commands that only look: words, flags and ``key=value``, without Hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from olmoflow.errors import UserError


@dataclass(frozen=True)
class PlainArguments:
    """What was written after the command."""

    words: list[str]
    flags: set[str]
    values: dict[str, str]

    @property
    def json_output(self) -> bool:
        """Whether one JSON object was asked for."""
        return self.values.get("output") == "json"


def parse_plain(
    arguments: Sequence[str],
    *,
    words: int = 0,
    flags: Sequence[str] = (),
    values: Mapping[str, Sequence[str] | None],
) -> PlainArguments:
    """Parse and check the arguments.

    Args:
        arguments: As they stand on the command line.
        words: How many bare words are expected.
        flags: The ``--flags`` that exist.
        values: The keys that exist, each with its choices (None: anything).

    Raises:
        UserError: Names the argument and what was expected.
    """
    parsed = PlainArguments([], set(), {})
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in values:
            choices = values[key]
            if choices is not None and value not in choices:
                raise UserError(f"{argument}: expected one of {', '.join(choices)}")
            parsed.values[key] = value
        elif argument in flags:
            parsed.flags.add(argument)
        elif not equals and not argument.startswith("-") and len(parsed.words) < words:
            parsed.words.append(argument)
        else:
            known = [*flags, *(f"{key}=…" for key in values)]
            raise UserError(f"{argument}: expected {', '.join(known)}")
    if len(parsed.words) < words:
        raise UserError("missing: the name of an artifact")
    return parsed
