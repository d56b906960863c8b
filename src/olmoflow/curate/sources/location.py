"""Files of a source, wherever they lie: a folder, object storage, the Hugging Face Hub.

A *location* is a path, a URL that fsspec knows (``s3://…``, ``gs://…``, ``https://…``), or
``hf:OWNER/REPO[@REVISION][:PATTERN]``. What is not on this machine is copied here one file at a
time, by the process that reads it, and removed once it has been read.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from olmoflow.errors import UserError

_HUB = "hf://datasets/"


@dataclass(frozen=True)
class SourceFile:
    """A file to read.

    Attributes:
        url: A local path, a URL, or ``hf://datasets/…`` as huggingface_hub writes it.
        name: Its path within the location that it was found at.
        size: In bytes as it is stored; 0 where the storage does not say.
        mark: Changes when the file does, as far as the storage says.
    """

    url: str
    name: str
    size: int = 0
    mark: str = ""


def files_at(location: str) -> list[SourceFile]:
    """All files at a location, in the order of their names.

    Raises:
        UserError: There is nothing, or it cannot be reached.
    """
    if location.startswith("hf:"):
        return _hub_files(location)
    if "://" in location:
        return _remote_files(location)
    path = Path(location).expanduser()
    if not path.exists():
        raise UserError(f"source={location}: no such file or folder")
    if path.is_file():
        return [_local_file(path, path.name)]
    # A symbolic link to a file is read: that is how the Hub's cache lays files out.
    found = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p, path))
    return [_local_file(file, file.relative_to(path).as_posix()) for file in found]


def marks(files: Sequence[SourceFile]) -> str:
    """The identity of remote files: 12 hexadecimal digits of their names, sizes and marks."""
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.name}\0{file.size}\0{file.mark}\n".encode())
    return total.hexdigest()[:12]


def is_remote(location: str) -> bool:
    """Whether a location is anything but a path of this machine."""
    return location.startswith("hf:") or "://" in location


@contextmanager
def local_copy(file: SourceFile, scratch: Path) -> Iterator[Path]:
    """The file as a path of this machine, for as long as the ``with`` block lasts.

    Raises:
        UserError: It cannot be fetched.
    """
    if "://" not in file.url:
        yield Path(file.url)
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            path = _fetch(file, Path(folder))
        except Exception as error:
            # Each storage has errors of its own.
            raise UserError(f"{file.url}: cannot be read ({_line(error)})") from error
        yield path


def _fetch(file: SourceFile, folder: Path) -> Path:
    if file.url.startswith(_HUB):
        from huggingface_hub import hf_hub_download

        # It tries again and goes on where a connection broke, which a plain stream does not.
        repository, _, revision = file.url.removeprefix(_HUB).removesuffix(file.name).partition("@")
        return Path(
            hf_hub_download(
                repository,
                file.name,
                repo_type="dataset",
                revision=revision.rstrip("/"),
                local_dir=folder,
            )
        )
    import fsspec

    path = folder / Path(file.name).name
    with fsspec.open(file.url, "rb").open() as stream, path.open("wb") as copy:
        shutil.copyfileobj(stream, copy, 1 << 20)
    return path


def _local_file(path: Path, name: str) -> SourceFile:
    stat = path.stat()
    return SourceFile(str(path.absolute()), name, stat.st_size, str(stat.st_mtime_ns))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _remote_files(location: str) -> list[SourceFile]:
    import fsspec

    scheme = location.partition("://")[0]
    try:
        storage, path = fsspec.core.url_to_fs(location)
        if storage.isfile(path) or scheme in ("http", "https"):
            found = {path: storage.info(path)}
        else:
            found = storage.find(path, detail=True)
    except ImportError as error:
        raise UserError(
            f"source={location}: {error}; pip install 'olmoflow[s3]' or [gs]"
        ) from error
    except Exception as error:
        raise UserError(f"source={location}: cannot be listed ({_line(error)})") from error
    if not found:
        raise UserError(f"source={location}: no file there")
    root = str(path).rstrip("/")
    files = []
    for name in sorted(found):
        info = found[name]
        mark = str(info.get("ETag") or info.get("LastModified") or info.get("mtime") or "")
        url = name if "://" in name else f"{scheme}://{name}"
        short = name.removeprefix(root).lstrip("/") or name.rpartition("/")[2]
        files.append(SourceFile(url, short, int(info.get("size") or 0), mark))
    return files


def _hub_files(location: str) -> list[SourceFile]:
    """Files of a dataset of the Hub; of its local cache where there is no network."""
    rest, _, pattern = location.removeprefix("hf:").partition(":")
    repository, _, revision = rest.partition("@")
    if repository.count("/") != 1:
        raise UserError(f"source={location}: expected hf:OWNER/REPO[@REVISION][:PATTERN]")
    cached = _cached(repository, revision)
    found = files_at(str(cached)) if cached is not None else _listed(location, repository, revision)
    chosen = [f for f in found if not pattern or fnmatch(f.name, pattern)]
    if not chosen:
        some = ", ".join(f.name for f in found[:3])
        raise UserError(f"source={location}: no file matches {pattern}; there are {some} …")
    return chosen


def _cached(repository: str, revision: str) -> Path | None:
    """The snapshot in the local cache, where the Hub must not be asked."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if not constants.HF_HUB_OFFLINE:
        return None
    try:
        return Path(
            snapshot_download(
                repository, repo_type="dataset", revision=revision or None, local_files_only=True
            )
        )
    except LocalEntryNotFoundError as error:
        raise UserError(
            f"source=hf:{repository}: not in the local cache of the Hub, and HF_HUB_OFFLINE is set"
        ) from error


def _listed(location: str, repository: str, revision: str) -> list[SourceFile]:
    from huggingface_hub import HfApi

    try:
        info = HfApi().dataset_info(repository, revision=revision or None, files_metadata=True)
    except Exception as error:
        raise UserError(f"source={location}: the Hub did not answer ({_line(error)})") from error
    root = f"{_HUB}{repository}@{info.sha}"
    files = [
        SourceFile(f"{root}/{s.rfilename}", s.rfilename, s.size or 0, s.blob_id or "")
        for s in info.siblings or ()
        if not s.rfilename.startswith(".")
    ]
    return sorted(files, key=lambda f: f.name)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
