"""A row of turns as a document: text for whatever reads texts, and the turns themselves beside it.

A conversation has ``messages``; a preference has ``chosen`` and ``rejected``. The text is what the
turns say, divided by an empty line, those that chosen and rejected share said once. It is made anew
from the turns of every row that is read, so a corpus of conversations is a source again.

Reading asks no more than that turns can be told apart. Whether they make sense is for
`format.ConversationFormatFilter` to say, where it is counted by reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.schema import TURNS
from olmoflow.documents import Document, Intake, document_of_row, fault, rows_of_file
from olmoflow.errors import UserError

Turn = dict[str, Any]
MESSAGES, CHOSEN, REJECTED = TURNS
_SAID = ("content", "functions", "function_calls")


@dataclass(frozen=True)
class TurnsDocument(Document):
    """A document made of turns.

    Attributes:
        turns: By column of `schema.TURNS`, the turns as JSON.
    """

    turns: dict[str, str] = field(default_factory=dict)


def read_rows(file: Path, name: str, intake: Intake) -> Iterator[Document]:
    """The documents of a file of rows, conversations and preferences among them.

    Args:
        file: JSON lines or Parquet.
        name: What it is called in ids and sources.
        intake: Counts the documents and keeps what is malformed.
    """
    yield from documents_of_rows(rows_of_file(file, intake, _required(file)), file, name, intake)


def documents_of_rows(
    rows: Iterable[tuple[int, dict[str, Any]]], file: Path, name: str, intake: Intake
) -> Iterator[Document]:
    """The documents of rows with their numbers; see `read_rows`."""
    limit = intake.max_document_bytes
    for number, row in rows:
        sides = _sides(row)
        reason = next((r for s, turns in sides.items() if (r := _fault(turns, s))), None)
        text = said(sides) if sides and not reason else row.get("text")
        reason = reason or fault(text, limit)
        if reason:
            intake.reject(file, number, reason)
            continue
        intake.documents += 1
        yield _document(row, sides, str(text), name, number)


def said(sides: dict[str, list[Turn]]) -> str:
    """What the turns say, as a text: contents, signatures of functions, and calls."""
    turns = sides[MESSAGES] if MESSAGES in sides else united(sides[CHOSEN], sides[REJECTED])
    return said_in(turns)


def said_in(turns: Sequence[Turn]) -> str:
    """What these turns say, an empty line between two parts."""
    return "\n\n".join(turn[key] for turn in turns for key in _SAID if turn.get(key))


def united(chosen: list[Turn], rejected: list[Turn]) -> list[Turn]:
    """The turns of a preference, those that both sides begin with only once."""
    return [*chosen, *rejected[shared(chosen, rejected) :]]


def shared(chosen: list[Turn], rejected: list[Turn]) -> int:
    """With how many turns both sides of a preference begin; the last turn of each is its own."""
    most = max(0, min(len(chosen), len(rejected)) - 1)
    pairs = enumerate(zip(chosen[:most], rejected[:most], strict=True))
    return next((place for place, (a, b) in pairs if a != b), most)


def refuse_other_text(label: str, before: pa.Table, after: pa.Table) -> None:
    """Refuse a step that changed the text of conversations: their turns would not follow.

    Raises:
        UserError: It names the step.
    """
    there = [name for name in TURNS if name in before.column_names]
    one, other = before.column("text"), after.column("text")
    if there and other is not one and not other.equals(one):
        raise UserError(
            f"{label}: changes the text of conversations, and their turns would not follow; "
            "expected steps that filter or annotate"
        )


def _required(file: Path) -> str:
    """The column that tells what a Parquet file holds; ``text`` where it is none of turns."""
    if file.suffix != ".parquet":
        return "text"
    try:
        names = parquet.read_schema(file).names
    except (pa.ArrowException, OSError):
        return "text"  # the reader says what is wrong with it
    return next((name for name in (MESSAGES, CHOSEN) if name in names), "text")


def _sides(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of turns that a row has: the two of a preference, or ``messages``."""
    wanted = (CHOSEN, REJECTED) if row.get(CHOSEN) and row.get(REJECTED) else (MESSAGES,)
    return {name: row[name] for name in wanted if row.get(name) is not None}


def _fault(turns: object, name: str) -> str | None:
    if not isinstance(turns, list):
        return f"{name} is {type(turns).__name__}, expected a list of turns"
    if not turns:
        return f"{name} is empty, expected a list of turns"
    for place, turn in enumerate(turns):
        where = f"{name}[{place}]"
        if not isinstance(turn, dict):
            return f"{where} is {type(turn).__name__}, expected an object"
        if not isinstance(turn.get("role"), str):
            return f"{where}.role is {type(turn.get('role')).__name__}, expected a string"
        for key in _SAID:
            if not isinstance(turn.get(key), str | None):
                return f"{where}.{key} is {type(turn[key]).__name__}, expected a string"
    return None


def _document(
    row: dict[str, Any], sides: dict[str, list[Turn]], text: str, name: str, number: int
) -> Document:
    rest = {k: v for k, v in row.items() if k not in sides}
    made = document_of_row(rest, text, name, number)
    if not sides:
        return made
    return TurnsDocument(**vars(made), turns={k: _json(turns) for k, turns in sides.items()})


def _json(turns: list[Turn]) -> str:
    """Turns without what is not there: Parquet has every key in every turn."""
    present = [{k: v for k, v in turn.items() if v is not None} for turn in turns]
    text = json.dumps(present, ensure_ascii=False, default=str)
    return text.encode(errors="replace").decode()
