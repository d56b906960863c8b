"""Conversations and preferences, read from JSON lines or Parquet.

A conversation is a row ``{"messages": [{"role", "content", "functions"?, "function_calls"?}, …]}``,
a preference has ``chosen`` and ``rejected`` in its place, which share all turns but the last: the
columns of the Dolci SFT and DPO sets. ``id`` and ``source`` are optional. A row that is neither is
set apart with its file, line and reason, and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from olmoflow.documents import SUFFIXES, Intake, rows_of_file, too_long
from olmoflow.errors import UserError

ROLES = ("system", "user", "assistant", "environment")
Row = TypeVar("Row", bound="Conversation | Preference")
_Fields = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """One turn.

    Attributes:
        role: One of `ROLES`; ``environment`` says what functions returned.
        content: What is said.
        functions: Signatures of the functions that may be called, as text.
        function_calls: The calls that an assistant makes, as text.
    """

    role: str
    content: str
    functions: str | None = None
    function_calls: str | None = None

    def as_dict(self) -> dict[str, str]:
        """As chat templates take it: without what is not there."""
        fields = {"role": self.role, "content": self.content}
        optional = {"functions": self.functions, "function_calls": self.function_calls}
        return fields | {key: value for key, value in optional.items() if value is not None}


@dataclass(frozen=True)
class Place:
    """The file and line that something stands in."""

    file: Path = Path()
    line: int = 0


@dataclass(frozen=True)
class Conversation:
    """Turns of several roles."""

    id: str
    messages: tuple[Message, ...]
    source: str = ""
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True)
class Preference:
    """Two conversations that differ in the assistant's last turn, of which one is better."""

    id: str
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    source: str = ""
    place: Place = field(default=Place(), compare=False)


class MalformedTurnsError(Exception):
    """Turns that are no conversation; the message is the reason."""


def read_conversations(path: Path, intake: Intake) -> Iterator[Conversation]:
    """The conversations of a file or folder; the intake counts them and keeps what is malformed.

    Raises:
        UserError: There is no conversation, or too many are malformed.
    """
    return _read(path, intake, "messages", _conversation)


def read_preferences(path: Path, intake: Intake) -> Iterator[Preference]:
    """The preferences of a file or folder; the intake counts them and keeps what is malformed.

    Raises:
        UserError: There is no preference, or too many are malformed.
    """
    return _read(path, intake, "chosen", _preference)


def conversation_files(path: Path) -> list[Path]:
    """The files of conversations at a path, in the order of their names.

    Raises:
        UserError: There is none.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    if found := [file for file in files if file.name.endswith(SUFFIXES)]:
        return found
    raise UserError(f"{path}: expected files that end in {', '.join(SUFFIXES)}")


def parse_messages(turns: object, name: str = "messages") -> tuple[Message, ...]:
    """The turns of a row.

    Raises:
        MalformedTurnsError: They are no conversation; says which turn and why.
    """
    if turns is None:
        raise MalformedTurnsError(f"no {name}, expected a list of turns")
    if not isinstance(turns, list):
        raise MalformedTurnsError(f"{name} is {type(turns).__name__}, expected a list of turns")
    if not turns:
        raise MalformedTurnsError(f"{name} is empty, expected a list of turns")
    return tuple(_message(turn, f"{name}[{place}]") for place, turn in enumerate(turns))


def _read(
    path: Path, intake: Intake, column: str, parse: Callable[[_Fields, str, str, Place], Row]
) -> Iterator[Row]:
    for file in conversation_files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        for number, row in rows_of_file(file, intake, column):
            given, source = row.get("id"), row.get("source") or _source(name)
            id_ = f"{name}:{number}" if given is None or given == "" else given
            try:
                parsed = parse(row, _valid(id_), _valid(source), Place(file, number))
                for turns in _turns(parsed):
                    check_length(turns, intake.max_document_bytes)
            except MalformedTurnsError as error:
                intake.reject(file, number, str(error))
                continue
            intake.documents += 1
            yield parsed
    intake.close(path)


def check_length(turns: Sequence[Message], limit: int | None) -> None:
    """See that turns are not longer than a document may be.

    Args:
        turns: Of one conversation.
        limit: UTF-8 bytes; None: any number.

    Raises:
        MalformedTurnsError: They are.
    """
    if limit is None:
        return
    texts = (t for each in turns for t in (each.content, each.functions, each.function_calls))
    size = sum(len(text.encode()) for text in texts if text)
    if size > limit:
        raise MalformedTurnsError(f"the turns have {size:,} bytes, {too_long(limit)}")


def _turns(row: Conversation | Preference) -> tuple[tuple[Message, ...], ...]:
    return (row.messages,) if isinstance(row, Conversation) else (row.chosen, row.rejected)


def _source(name: str) -> str:
    folder, _, file = name.rpartition("/")
    return folder or file.partition(".")[0]


def _valid(value: object) -> str:
    return str(value).encode(errors="replace").decode()


def _conversation(row: _Fields, id_: str, source: str, place: Place) -> Conversation:
    return Conversation(id_, parse_messages(row.get("messages")), source, place)


def _preference(row: _Fields, id_: str, source: str, place: Place) -> Preference:
    chosen = parse_messages(row.get("chosen"), "chosen")
    rejected = parse_messages(row.get("rejected"), "rejected")
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[-1].role != "assistant":
            raise MalformedTurnsError(
                f"{name} ends with a turn of the {turns[-1].role}, expected the assistant's"
            )
    if chosen[:-1] != rejected[:-1]:
        raise MalformedTurnsError("chosen and rejected differ before their last turn")
    if chosen == rejected:
        raise MalformedTurnsError("chosen and rejected are the same")
    return Preference(id_, chosen, rejected, source, place)


def _message(turn: object, where: str) -> Message:
    if not isinstance(turn, dict):
        raise MalformedTurnsError(f"{where} is {type(turn).__name__}, expected an object")
    role = turn.get("role")
    if role not in ROLES:
        raise MalformedTurnsError(f"{where}: role {role!r}, expected one of {', '.join(ROLES)}")
    texts = {key: _text(turn.get(key), f"{where}.{key}") for key in _TEXTS}
    if role == "assistant":
        if not any((texts[key] or "").strip() for key in ("content", "function_calls")):
            raise MalformedTurnsError(f"{where}: the assistant's turn is empty")
    elif texts["content"] is None:
        raise MalformedTurnsError(f"{where}: no content, expected a string")
    return Message(str(role), texts["content"] or "", texts["functions"], texts["function_calls"])


_TEXTS = ("content", "functions", "function_calls")


def _text(value: object, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise MalformedTurnsError(f"{where} is {type(value).__name__}, expected a string")
    if "\0" in value:
        raise MalformedTurnsError(f"{where} has a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MalformedTurnsError(f"{where} is not valid UTF-8") from error
    return value
