"""Documents read from JSON lines (plain, gzip, zstd) and Parquet, in a fixed order.

A document is ``{"id", "text", "source", "path"?, "license"?, …}``; only ``text`` is required of a
user's own files, ``id`` is then the file and line, ``source`` the file's name. What is malformed is
set apart with its file, line and reason, and counted; a run stops when it passes a rate.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import zstandard

from olmoflow.errors import UserError

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
# Judge the rate of malformed documents only once there are a few.
_FEW = 100


@dataclass(frozen=True)
class Document:
    """One document."""

    id: str
    text: str
    source: str
    path: str = ""
    license: str = ""


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
    """

    max_error_rate: float = 0.001
    documents: int = 0
    malformed: list[Malformed] = field(default_factory=list)

    def reject(self, file: Path, line: int, reason: str) -> None:
        """Set a line apart.

        Raises:
            UserError: Too many have been set apart.
        """
        self.malformed.append(Malformed(file.name, line, reason))
        if self.documents + len(self.malformed) >= _FEW:
            self._judge(file, line, reason)

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
                f"{file.name}:{line}: {reason}; {len(self.malformed)} of {total} documents are "
                f"malformed, more than max_error_rate={self.max_error_rate:g} allows"
            )


def document_files(path: Path) -> list[Path]:
    """The files of documents at a path, in the order of their names.

    Raises:
        UserError: There is none.
    """
    if path.is_file():
        found = [path]
    else:
        found = sorted(p for p in path.rglob("*") if p.is_file() and _is_documents(p))
    if not found or not all(map(_is_documents, found)):
        raise UserError(f"{path}: expected files that end in {', '.join(SUFFIXES)}")
    return found


def read_documents(path: Path, intake: Intake) -> Iterator[Document]:
    """The documents of a file or folder; the intake counts them and keeps what is malformed."""
    for file in document_files(path):
        lines = _parquet_rows(file) if file.suffix == ".parquet" else _json_rows(file, intake)
        for number, row in lines:
            text = row.get("text")
            if not isinstance(text, str):
                found = "no text" if text is None else f"text is {type(text).__name__}"
                intake.reject(file, number, f"{found}, expected a string")
            elif not text:
                intake.reject(file, number, "the text is empty")
            elif not _encodable(text):
                intake.reject(file, number, "the text has a lone surrogate")
            else:
                intake.documents += 1
                yield _document(row, text, file, number)
    intake.close(path)


def _document(row: dict[str, Any], text: str, file: Path, number: int) -> Document:
    name = file.name.partition(".")[0]
    return Document(
        id=str(row.get("id") or f"{name}:{number}"),
        text=text,
        source=str(row.get("source") or name),
        path=str(row.get("path") or row.get("url") or ""),
        license=str(row.get("license") or ""),
    )


def _json_rows(file: Path, intake: Intake) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _lines(file, intake):
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            intake.reject(file, number, f"invalid UTF-8 at byte {error.start} of the line")
        except json.JSONDecodeError as error:
            intake.reject(file, number, f"malformed JSON: {error.msg} at column {error.colno}")
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                intake.reject(file, number, f"expected an object, found {type(row).__name__}")


def _lines(file: Path, intake: Intake) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        with _open(file) as stream:
            for number, line in enumerate(stream, 1):
                yield number, line
    except (zstandard.ZstdError, zlib.error, EOFError, gzip.BadGzipFile) as error:
        # What came before the damage has been read; the rest is lost and must not go unnoticed.
        raise UserError(f"{file}: damaged or cut after line {number} ({error})") from error


def _open(file: Path) -> IO[bytes]:
    if file.suffix == ".zst":
        _check_zst_end(file)
        frames = zstandard.ZstdDecompressor().stream_reader(
            file.open("rb"), read_across_frames=True, closefd=True
        )
        return io.BufferedReader(frames)
    if file.suffix == ".gz":
        return gzip.open(file, "rb")  # type: ignore[return-value]
    return file.open("rb")


def _check_zst_end(file: Path) -> None:
    """A cut zstd frame reads as if it simply ended: look whether it does."""
    with file.open("rb") as stream:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        while data := stream.read(1 << 20):
            while data:
                decompressor.decompress(data)
                data = decompressor.unused_data
                if decompressor.eof and data:
                    decompressor = zstandard.ZstdDecompressor().decompressobj()
                elif not decompressor.eof:
                    break
                else:
                    data = b""
    if not decompressor.eof:
        raise zstandard.ZstdError("the zstd frame does not end")


def _parquet_rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(file)
        number = 0
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(
            f"{file}: no readable Parquet file ({str(error).splitlines()[0]})"
        ) from error


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_documents(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)
