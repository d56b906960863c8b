"""`digests.json`: the list that makes a folder a checkpoint, written after all that it lists."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from olmoflow.digests import file_digest, write_json
from olmoflow.errors import UserError

DIGESTS = "digests.json"


@dataclass(frozen=True)
class FileDigest:
    """Size in bytes and sha256 (hexadecimal) of one file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileDigest":
        """Read `path` once, in constant memory."""
        return cls(size=path.stat().st_size, sha256=file_digest(path))


@dataclass(frozen=True)
class Digests:
    """What `digests.json` says: the step, and every other file of its folder."""

    step: int
    files: Mapping[str, FileDigest]

    def write(self, folder: Path) -> None:
        """Write `digests.json` into `folder` and flush it to the disk."""
        body: dict[str, Any] = {"step": self.step}
        body |= {name: asdict(self.files[name]) for name in sorted(self.files)}
        # The list vouches for the files, and its own digest for the list.
        write_json(folder / DIGESTS, {"sha256": _digest_of(body), **body})

    @classmethod
    def read(cls, folder: Path) -> "Digests":
        """Read and check `digests.json`.

        Raises:
            UserError: it is absent (the folder is no complete checkpoint) or damaged.
        """
        path = folder / DIGESTS
        if not path.is_file():
            raise UserError(
                f"{folder}: no {DIGESTS} in it, so it is not a complete checkpoint "
                "(expected a folder such as SERIES/steps/step-00000100)"
            )
        try:
            body = json.loads(path.read_bytes())
            if body.pop("sha256") != _digest_of(body):
                raise ValueError("its own sha256 does not match")
            step = body.pop("step")
            return cls(step, {name: FileDigest(**entry) for name, entry in body.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: damaged: {error}") from error

    def check_sizes(self, folder: Path) -> None:
        """Check that every listed file is there in its full size; reads no file.

        Raises:
            UserError: names the first file that is missing, cut or grown.
        """
        for name, digest in self.files.items():
            path = folder / name
            if not path.is_file():
                raise UserError(f"{path}: missing, though {DIGESTS} lists it")
            if (size := path.stat().st_size) != digest.size:
                raise UserError(f"{path}: damaged: {size} bytes, expected {digest.size}")

    def check(self, folder: Path, name: str) -> None:
        """Read one file and compare it with its digest.

        Raises:
            UserError: the file is damaged, missing, or none of this checkpoint's.
        """
        path = folder / name
        if name not in self.files:
            raise UserError(f"{path}: {DIGESTS} does not list it")
        if not path.is_file():
            raise UserError(f"{path}: missing, though {DIGESTS} lists it")
        if FileDigest.of(path) != self.files[name]:
            raise UserError(f"{path}: damaged: its sha256 is not the one in {DIGESTS}")


def _digest_of(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
