"""Documents read from JSON lines (plain, gzip, zstd), Parquet or text files, in a fixed order.

A document is ``{"id", "text", "source", "path"?, "license"?, …}``; only ``text`` is required of a
user's own files: ``id`` is then file and line, ``source`` the file's folder or name. In a folder
with neither JSON lines nor Parquet, every text file is a document; beside those it is likely to be
a README or a licence, and is left out with a word. What is malformed is set apart
with its file, line and reason, and counted; a run stops when it passes a rate. The rest of a file
that is cut or damaged counts as one malformed document.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import zstandard

from olmoflow.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
TEXT_SUFFIXES = (".txt", ".md")
# Documents over which a rate is judged before the end: one malformed among the first hundred says
# little of a million.
_ENOUGH = 10_000


@dataclass(frozen=True)
class Document:
    """One document."""

    id: str
    text: str
    source: str
    path: str = ""
    license: str = ""
    url: str = ""
    created: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Malformed:
    """A line that is no document, and why."""

    file: str
    line: int
    reason: str


@dataclass
class Intake:
    """Counts what comes in and keeps what is malformed.

    Args:
        max_error_rate: Share of malformed documents above which reading stops.
        max_document_bytes: A line or file longer than this is set apart unread; None: no limit.

    Attributes:
        documents: How many were well formed.
        file_bytes: How much has been read of the files as they are on the disk.
        malformed: What was not.
    """

    max_error_rate: float = 0.001
    max_document_bytes: int | None = None
    documents: int = 0
    file_bytes: int = 0
    malformed: list[Malformed] = field(default_factory=list)

    def reject(self, file: Path, line: int, reason: str) -> None:
        """Set a line apart.

        Raises:
            UserError: Too many have been set apart.
        """
        self.malformed.append(Malformed(str(file), line, reason))
        if len(self.malformed) > self.max_error_rate * _ENOUGH:
            self._judge(file, line, reason)

    def withdraw(self, file: Path, line: int, reason: str) -> None:
        """Set a line apart that was counted as well formed, for what came to light later.

        Raises:
            UserError: Too many have been set apart.
        """
        self.documents -= 1
        self.reject(file, line, reason)

    def close(self, where: Path) -> None:
        """Judge the whole.

        Raises:
            UserError: Nothing was read, or too much was malformed.
        """
        if self.malformed:
            last = self.malformed[-1]
            self._judge(Path(last.file), last.line, last.reason)
        if not self.documents:
            raise UserError(f"{where}: the corpus is empty; expected at least one document")

    def write(self, folder: Path) -> None:
        """Leave ``errors.jsonl`` in a folder, if there is anything to tell."""
        if self.malformed:
            folder.mkdir(parents=True, exist_ok=True)
            rows = "".join(json.dumps(asdict(m)) + "\n" for m in self.malformed)
            (folder / "errors.jsonl").write_text(rows)

    def _judge(self, file: Path, line: int, reason: str) -> None:
        total = self.documents + len(self.malformed)
        rate = len(self.malformed) / total
        if rate > self.max_error_rate:
            raise UserError(
                f"{file}:{line}: {reason}; {len(self.malformed)} of {total} documents are "
                f"malformed, more than max_error_rate={self.max_error_rate:g} allows"
            )


def document_files(path: Path) -> list[Path]:
    """The files of documents at a path, in the order of their names.

    Text files that are left out are named on standard error.

    Raises:
        UserError: There is none.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for suffixes in (SUFFIXES, TEXT_SUFFIXES):
        if found := [file for file in files if file.name.endswith(suffixes)]:
            if suffixes == SUFFIXES and len(found) < len(files):
                left = [file for file in files if file.name.endswith(TEXT_SUFFIXES)]
                tell_unread(str(path), [file.relative_to(path).as_posix() for file in left])
            return found
    raise UserError(
        f"{path}: no documents; expected files that end in {', '.join(SUFFIXES + TEXT_SUFFIXES)}"
    )


_told: set[str] = set()


def tell_unread(where: str, names: Sequence[str]) -> None:
    """Say on standard error, once of a folder, which of its text files are not read.

    Args:
        where: The folder, for people.
        names: Of its text files; hidden ones are not spoken of.
    """
    shown = [name for name in names if not name.startswith(".")]
    if not shown or where in _told:
        return
    _told.add(where)
    more = f" and {len(shown) - 1} more are" if len(shown) > 1 else " is"
    print(
        f"olmoflow: {where}: {shown[0]}{more} not read, for text beside other documents is rarely "
        "one of them; in a folder of its own it is",
        file=sys.stderr,
    )


def read_documents(path: Path, intake: Intake) -> Iterator[Document]:
    """The documents of a file or folder; the intake counts them and keeps what is malformed.

    Raises:
        UserError: There is no document, or too many are malformed.
    """
    for file in document_files(path):
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield from documents_of_file(file, name, intake)
    intake.close(path)


def documents_of_file(
    file: Path, name: str, intake: Intake, *, everything: bool = False
) -> Iterator[Document]:
    """The documents of one file.

    Args:
        file: Its path.
        name: What it is called in ids and sources.
        intake: Counts the documents and keeps what is malformed.
        everything: Keep all that the file says of a document, in its ``metadata``; else that stays
            empty, and Parquet's other columns are not read.
    """
    limit = intake.max_document_bytes
    wanted = None if everything else ("text", "id", "source", "path", "url", "license")
    for number, row in rows_of_file(file, intake, "text", wanted):
        text = row.get("text")
        reason = fault(text, limit)
        if reason:
            intake.reject(file, number, reason)
        else:
            intake.documents += 1
            yield _document(row, str(text), name, number, everything)


def rows_of_file(
    file: Path, intake: Intake, required: str, wanted: Collection[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of one file, whatever they say, and the line or row that each stands in.

    Args:
        file: JSON lines, Parquet or text.
        intake: Keeps what is no row; well-formed rows are counted by who reads them.
        required: A column without which a Parquet file is a mistake.
        wanted: The columns to read of a Parquet file; None: all.

    Raises:
        UserError: The file cannot be read, or lacks the required column.
    """
    if file.suffix == ".parquet":
        return _parquet_rows(file, intake, required, wanted)
    return (_text_rows if file.suffix in TEXT_SUFFIXES else _json_rows)(file, intake)


def fault(text: object, limit: int | None = None) -> str | None:
    """What is wrong with a text, if anything; ``limit`` is the longest that will do, in bytes."""
    if text is None:
        return "no text, expected a string"
    if not isinstance(text, str):
        return f"text is {type(text).__name__}, expected a string"
    if not text:
        return "the text is empty"
    if "\0" in text:
        return "the text has a NUL character"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "the text is not valid UTF-8"
    if limit is not None and size > limit:
        return f"the text has {size:,} bytes, {too_long(limit)}"
    return None


def too_long(limit: int) -> str:
    """How a reason ends that names a length."""
    return f"more than max_document_bytes={limit:,} allows"


def _document(row: dict[str, Any], text: str, name: str, number: int, everything: bool) -> Document:
    folder, _, file = name.rpartition("/")
    given = row.get("id")
    return Document(
        id=f"{name}:{number}" if given is None or given == "" else _valid(given),
        text=text,
        source=_valid(row.get("source") or folder or file.partition(".")[0]),
        path=_valid(row.get("path") or row.get("url") or ""),
        license=_valid(row.get("license") or ""),
        url=_valid(row.get("url") or ""),
        created=_valid(row.get("created") or ""),
        metadata=_metadata(row) if everything else {},
    )


def document_of_row(row: dict[str, Any], text: str, name: str, number: int) -> Document:
    """A row as a document with this text, whatever else it says in the ``metadata``.

    Args:
        row: Of a file.
        text: Of the document.
        name: What the file is called in ids and sources.
        number: The row's place in it.
    """
    return _document(row, text, name, number, everything=True)


_FIELDS = frozenset({"id", "text", "source", "path", "url", "created", "license", "metadata"})


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    """The row's ``metadata``, joined by every other field that is none of a document's own."""
    given = row.get("metadata")
    if isinstance(given, str) and given.startswith("{"):  # as Parquet files have it
        with suppress(ValueError):
            given = json.loads(given)
    if not isinstance(given, dict):
        given = {} if given is None else {"metadata": given}
    return given | {k: v for k, v in row.items() if k not in _FIELDS and v is not None}


def _valid(value: object) -> str:
    """A field as text that can be written again: what is no UTF-8 in it becomes a question mark."""
    return str(value).encode(errors="replace").decode()


def _json_rows(file: Path, intake: Intake) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(file, intake):
        if not line or line.isspace():
            continue
        try:
            row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            intake.reject(file, number, f"invalid UTF-8 at byte {error.start} of the line")
        except json.JSONDecodeError as error:
            intake.reject(file, number, f"malformed JSON: {error.msg} at column {error.colno}")
        except RecursionError:
            intake.reject(file, number, "malformed JSON: nested too deeply")
        except ValueError as error:  # a number of thousands of digits
            intake.reject(file, number, f"malformed JSON: {str(error).partition(';')[0]}")
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                intake.reject(file, number, f"expected an object, found {type(row).__name__}")


def _lines(file: Path, intake: Intake) -> Iterator[tuple[int, bytes]]:
    limit = intake.max_document_bytes
    number, carried, size = 0, [], 0
    try:
        for data in _blocks(file, intake):
            first, newline, rest = data.partition(b"\n")
            size += len(first)
            if limit is None or size <= limit:
                carried.append(first)
            else:
                carried.clear()
            if not newline:
                continue
            number += 1
            if limit is not None and size > limit:
                intake.reject(file, number, f"a line of {size:,} bytes, {too_long(limit)}")
            else:
                yield number, b"".join(carried)
            *lines, last = rest.split(b"\n")
            for line in lines:
                number += 1
                yield number, line
            carried, size = [last], len(last)
    except _DAMAGE as error:
        intake.reject(file, number + 1, f"the file is cut or damaged from here on ({error})")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; expected a file to read") from error
    else:
        if limit is not None and size > limit:
            intake.reject(file, number + 1, f"a line of {size:,} bytes, {too_long(limit)}")
        else:
            yield number + 1, b"".join(carried)


def _blocks(file: Path, intake: Intake) -> Iterator[bytes]:
    """The content of a file, decompressed."""
    new = _DECOMPRESSORS.get(file.suffix)
    with file.open("rb") as stream:
        if new is None:
            while data := stream.read(_READ_BYTES):
                intake.file_bytes += len(data)
                yield data
            return
        held: list[bytes] = []
        size = 0
        try:
            for data in _decompressed(stream, new, intake):
                held.append(data)
                size += len(data)
                if size >= _BLOCK_BYTES:
                    yield b"".join(held)
                    held, size = [], 0
        except _DAMAGE:
            yield b"".join(held)  # what came before the damage
            raise
        yield b"".join(held)


def _decompressed(stream: IO[bytes], new: Callable[[], Any], intake: Intake) -> Iterator[bytes]:
    decompressor = None
    while data := stream.read(_COMPRESSED_BYTES):
        intake.file_bytes += len(data)
        # A file may hold several frames, one after the other.
        while data:
            if decompressor is None or decompressor.eof:
                decompressor = new()
            yield decompressor.decompress(data)
            data = decompressor.unused_data if decompressor.eof else b""
    if decompressor is not None and not decompressor.eof:
        raise EOFError("the compressed stream does not end")


_READ_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 18
# A decompressor gives out all that it can at once, and four bytes of zstd can be 128 KiB of text.
# Taking in little at a time costs next to nothing, and bounds that.
_COMPRESSED_BYTES = 1 << 10
_DAMAGE = (zstandard.ZstdError, zlib.error, EOFError)
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    ".zst": lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
    ".gz": lambda: zlib.decompressobj(wbits=31),
}


def _parquet_rows(
    file: Path, intake: Intake, required: str, wanted: Collection[str] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    batches = parquet_batches(file, intake, required, wanted)
    return enumerate((row for batch in batches for row in rows_of_batch(batch)), 1)


def parquet_batches(
    file: Path, intake: Intake, required: str, wanted: Collection[str] | None = None
) -> Iterator[Any]:
    """The rows of a Parquet file as Arrow's record batches, 256 each; see `rows_of_file`."""
    import pyarrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
        columns = names if wanted is None else [name for name in wanted if name in names]
        if required not in columns:
            found = ", ".join(names)
            raise UserError(f"{file}: no column {required}; expected one, found {found}")
        for batch in table.iter_batches(batch_size=256, columns=columns):
            yield batch
            number += len(batch)
    except (pyarrow.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        intake.reject(file, number + 1, f"the file is cut or damaged from here on ({reason})")
    intake.file_bytes += file.stat().st_size


def rows_of_batch(batch: Any) -> list[dict[str, Any]]:
    """A record batch of a Parquet file as rows; a string that is no UTF-8 spoils only itself."""
    rows = _undecoded(batch).to_pylist()
    return [{name: _decoded(value) for name, value in row.items()} for row in rows]


def _undecoded(batch: Any) -> Any:
    """A batch with its strings as bytes: Parquet does not check them, and one spoils them all."""
    for place, column in enumerate(batch.columns):
        kind = _bytes_for_strings(column.type)
        if kind != column.type:
            batch = batch.set_column(place, batch.schema.names[place], column.cast(kind))
    return batch


def _bytes_for_strings(kind: Any) -> Any:
    """A type with binary in place of strings, in lists and structs too."""
    import pyarrow
    from pyarrow import types

    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pyarrow.large_binary()
    if types.is_list(kind) or types.is_large_list(kind):
        make = pyarrow.list_ if types.is_list(kind) else pyarrow.large_list
        return make(kind.value_field.with_type(_bytes_for_strings(kind.value_type)))
    if types.is_struct(kind):
        return pyarrow.struct([f.with_type(_bytes_for_strings(f.type)) for f in kind])
    return kind


def _decoded(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if isinstance(value, dict):
        return {key: _decoded(each) for key, each in value.items()}
    return value


def _text_rows(file: Path, intake: Intake) -> Iterator[tuple[int, dict[str, Any]]]:
    limit = intake.max_document_bytes
    if limit is not None and (size := file.stat().st_size) > limit:
        intake.reject(file, 1, f"the file has {size:,} bytes, {too_long(limit)}")
        return
    data = b"".join(_blocks(file, intake))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        intake.reject(file, line, f"invalid UTF-8 at byte {error.start} of the file")
    else:
        yield 1, {"text": text, "path": str(file)}
