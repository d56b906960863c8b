"""Which file is read how, and the units of work that the files of a source are cut into.

A *unit* is a run of files, in the order of their names; a large file is a unit by itself. Units
depend on the files alone, so the shards that they become are the same whatever the number of
workers. A small source falls into many units as well, or one core would do all of its work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from olmoflow.curate.conversations.row import read_rows
from olmoflow.curate.sources.location import SourceFile, files_at, local_copy
from olmoflow.documents import (
    SUFFIXES,
    TEXT_SUFFIXES,
    Document,
    Intake,
    documents_of_file,
    tell_unread,
)
from olmoflow.errors import UserError

Kind = Literal["auto", "documents", "text", "warc", "html", "pdf", "code"]
KINDS: tuple[str, ...] = get_args(Kind)

# A unit is a 64th of its source, within these bounds; files count as they are stored.
UNIT_BYTES = (4 << 20, 128 << 20)
_UNITS = 64
_WARC = (".warc", ".warc.gz", ".warc.zst")
_HTML = (".html", ".htm", ".xhtml")


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        kind: ``auto``: by the file's name, all but source code, which has to be asked for.
        source: What the documents' ``source`` says; None: as the files say, or their folder.
        max_document_bytes: Longer documents are set apart as errors.
        main_content: Of web pages keep what looks like their main text, else all that is visible.
        pdf: ``pypdfium2`` takes a PDF's text layer; ``olmocr`` reads the pages, and needs a GPU.
    """

    kind: Kind = "auto"
    source: str | None = None
    max_document_bytes: int = 100_000_000
    main_content: bool = True
    pdf: Literal["pypdfium2", "olmocr"] = "pypdfium2"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"read.kind={self.kind}: expected one of {', '.join(KINDS)}")
        if self.pdf not in ("pypdfium2", "olmocr"):
            raise UserError(f"read.pdf={self.pdf}: expected pypdfium2 or olmocr")
        if self.max_document_bytes <= 0:
            raise UserError(f"read.max_document_bytes={self.max_document_bytes}: expected above 0")


@dataclass(frozen=True)
class SourceUnit:
    """Files of one kind that one worker reads in a row."""

    kind: str
    files: tuple[SourceFile, ...]

    @property
    def bytes(self) -> int:
        """Of its files as they are stored, or the largest unit's where a storage does not say."""
        return sum(file.size or UNIT_BYTES[1] for file in self.files)


def source_units(
    locations: Sequence[str], reading: Reading, unit_bytes: int | None = None
) -> list[SourceUnit]:
    """The units of work of a source.

    Args:
        locations: See `location`.
        reading: How they are read.
        unit_bytes: Of a unit, about; None: by the size of all.

    Raises:
        UserError: A location has no file that can be read.
    """
    units: list[SourceUnit] = []
    found = [_chosen(location, files_at(location), reading) for location in locations]
    if unit_bytes is None:
        whole = sum(file.size for chosen in found for _, file in chosen)
        unit_bytes = min(max(whole // _UNITS, UNIT_BYTES[0]), UNIT_BYTES[1])
    for chosen in found:
        kind, size = "", 0
        files: list[SourceFile] = []
        for each, file in chosen:
            if files and (each != kind or size + file.size > unit_bytes):
                units.append(SourceUnit(kind, tuple(files)))
                files, size = [], 0
            kind = each
            files.append(file)
            size += file.size
        units.append(SourceUnit(kind, tuple(files)))
    return units


def read_unit(
    unit: SourceUnit, reading: Reading, intake: Intake, scratch: Path
) -> Iterator[Document]:
    """The documents of a unit, file by file; the intake counts them and what is malformed."""
    if unit.kind == "pdf" and reading.pdf == "olmocr":
        from olmoflow.curate.sources.pdf import read_with_olmocr

        yield from read_with_olmocr(unit.files, intake, scratch)
        return
    for file in unit.files:
        with local_copy(file, scratch) as path:
            yield from _READERS[unit.kind](path, file, reading, intake)


def _chosen(
    location: str, files: list[SourceFile], reading: Reading
) -> list[tuple[str, SourceFile]]:
    """Files that can be read, with their kinds. Text counts only where there is nothing else."""
    if reading.kind == "code":
        from olmoflow.curate.sources.source_code import language_of

        chosen = [("code", f) for f in files if language_of(f.name)]
        expected = "source code"
    else:
        kinds = [(kind_of(f.name), f) for f in files]
        if reading.kind == "auto":
            text = [(kind, f) for kind, f in kinds if kind == "text"]
            chosen = [(kind, f) for kind, f in kinds if kind and kind != "text"]
            if chosen:
                tell_unread(location, [f.name for _, f in text])
            chosen = chosen or text
        else:
            chosen = [(kind, f) for kind, f in kinds if kind == reading.kind]
        expected = "files that end in " + ", ".join(
            s for s, kind in _SUFFIX_KINDS if reading.kind in ("auto", kind)
        )
    if not chosen:
        raise UserError(f"source={location}: found {len(files)} files, expected {expected}")
    return chosen


def kind_of(name: str) -> str:
    """The kind that a file's name tells, or an empty string."""
    lower = name.lower()
    return next((kind for suffix, kind in _SUFFIX_KINDS if lower.endswith(suffix)), "")


_SUFFIX_KINDS = (
    *((suffix, "warc") for suffix in _WARC),
    *((suffix, "documents") for suffix in SUFFIXES),
    *((suffix, "html") for suffix in _HTML),
    (".pdf", "pdf"),
    *((suffix, "text") for suffix in TEXT_SUFFIXES),
)


def _read_documents(
    path: Path, file: SourceFile, reading: Reading, intake: Intake
) -> Iterator[Document]:
    if kind_of(file.name) == "text":
        return documents_of_file(path, file.name, intake, everything=True)
    return read_rows(path, file.name, intake)


def _read_warc(
    path: Path, file: SourceFile, reading: Reading, intake: Intake
) -> Iterator[Document]:
    from olmoflow.curate.sources.web import read_warc

    return read_warc(path, file.name, intake, main_content=reading.main_content)


def _read_html(
    path: Path, file: SourceFile, reading: Reading, intake: Intake
) -> Iterator[Document]:
    from olmoflow.curate.sources.web import read_html

    return read_html(path, file.name, intake, main_content=reading.main_content)


def _read_pdf(path: Path, file: SourceFile, reading: Reading, intake: Intake) -> Iterator[Document]:
    from olmoflow.curate.sources.pdf import read_with_pypdfium2

    return read_with_pypdfium2(path, file.name, intake)


def _read_code(
    path: Path, file: SourceFile, reading: Reading, intake: Intake
) -> Iterator[Document]:
    from olmoflow.curate.sources.source_code import read_code

    return read_code(path, file.name, intake)


_READERS = {
    "documents": _read_documents,
    "text": _read_documents,
    "warc": _read_warc,
    "html": _read_html,
    "pdf": _read_pdf,
    "code": _read_code,
}
