"""What could not be worked on, as JSON lines: written while a unit is worked on, never held."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from olmoflow.documents import Intake


@dataclass
class ErrorsFile(Intake):
    """An intake that writes what is malformed to a file and judges nothing.

    A unit is a part of the corpus: whether too much is malformed is judged over all units.

    Args:
        path: The file; it appears with the first error.

    Attributes:
        errors: How many have been written.
        lines: How many of them are lines of files.
        first: The first of them, as one line of text.
    """

    path: Path = field(default_factory=Path)
    errors: int = 0
    lines: int = 0
    first: str = ""
    _file: IO[str] | None = None

    def reject(self, file: Path, line: int, reason: str) -> None:
        """Set a line of a file apart."""
        self.lines += 1
        self._write({"file": str(file), "line": line, "reason": reason}, f"{file}:{line}: {reason}")

    def reject_document(self, step: str, id: str, reason: str) -> None:
        """Set a document apart that a step could not work on."""
        self._write({"step": step, "id": id, "reason": reason}, f"{step}: {id}: {reason}")

    def _write(self, row: dict[str, Any], line: str) -> None:
        if self._file is None:
            self._file = self.path.open("w", errors="replace")
        self.errors += 1
        self.first = self.first or line
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def __enter__(self) -> ErrorsFile:
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
