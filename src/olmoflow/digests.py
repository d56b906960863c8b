"""Digests of files and folders, and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

# Above this size an input that is no artifact is identified by names, sizes and times alone.
_HASHED_INPUT_BYTES = 1 << 30
# What W&B keeps beside an artifact's data. It may be logged again, so no digest covers it.
WANDB_FILES = frozenset({"wandb", "wandb_id.txt", "wandb_logged.json"})


def digest_folder(folder: Path, leave_out: Collection[str] = ()) -> dict[str, str]:
    """sha256 of each file below ``folder`` by its relative path.

    Files and folders whose names are in ``leave_out`` have none.

    Files that a ``digests.json`` beside them covers are left to it: hashing that one file vouches
    for them, and terabytes are not read twice.
    """
    digests: dict[str, str] = {}
    for parent, names, files in os.walk(folder, followlinks=False):
        names[:] = sorted(name for name in names if name not in leave_out)
        covered: set[str] = set()
        if "digests.json" in files:
            record = json.loads((Path(parent) / "digests.json").read_text())
            covered = set(record.get("files", record))
        for name in sorted(files):
            if name in leave_out or name in covered:
                continue
            path = Path(parent) / name
            digests[path.relative_to(folder).as_posix()] = file_digest(path)
    return digests


def file_digest(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """Identifies an input that is no artifact: by content, or by names and times if it is large."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    by_content = sum(p.stat().st_size for p in files) <= _HASHED_INPUT_BYTES
    total = hashlib.sha256()
    for each in files:
        stat = each.stat()
        mark = file_digest(each) if by_content else f"{stat.st_size} {stat.st_mtime_ns}"
        total.update(f"{each.relative_to(path).as_posix()}\0{mark}\n".encode())
    return total.hexdigest()[:12]


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w") as file:
        json.dump(value, file, indent=2, default=str)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def flush(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder, before anything that counts on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
