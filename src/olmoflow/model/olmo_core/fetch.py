"""An OLMo-core checkpoint at a URL, onto the disk.

Whole files are fetched, several at a time. A tensor lies in as many files as there were ranks, so
reading it where it is would take hundreds of thousands of small requests.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from olmoflow.errors import UserError
from olmoflow.model.checkpoint.read import INDEX, read_index
from olmoflow.model.olmo_core.load import CONFIG, STATE, TRAINER, checkpoint_files

_AT_A_TIME = 8


def fetch_olmo_core(
    url: str, target: Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Fetch what an import reads; files that are there already are kept.

    Args:
        url: of the folder `stepN`: https, s3, gs or whatever else fsspec opens.
        target: where to put it; made when absent.
        progress: called with the files of tensors that are there, and their number.

    Returns:
        `target/stepN`, for `import_olmo_core`.

    Raises:
        UserError: the URL cannot be read, or holds no checkpoint of OLMo-core.
    """
    source = _Source(url, target / PurePosixPath(urlsplit(url).path).name)
    source.fetch(CONFIG)
    source.fetch(f"{STATE}/{INDEX}")
    source.fetch(TRAINER, optional=True)
    files = checkpoint_files(read_index(source.folder / STATE))
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        pending = [pool.submit(source.fetch, f"{STATE}/{name}") for name in files]
        try:
            for done, each in enumerate(as_completed(pending), start=1):
                each.result()
                if progress is not None:
                    progress(done, len(files))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return source.folder


class _Source:
    """A folder at a URL, and its copy."""

    def __init__(self, url: str, folder: Path) -> None:
        from fsspec.core import url_to_fs

        self.url, self.folder = url.rstrip("/"), folder
        try:
            self._files: Any
            self._files, self._root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UserError(f"{url}: cannot be opened: {_line(error)}") from error

    def fetch(self, name: str, *, optional: bool = False) -> None:
        """Copy one file; it appears under its name when it is complete."""
        target = self.folder / name
        if target.is_file():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        try:
            self._files.get_file(f"{self._root}/{name}", str(partial))
        except Exception as error:  # each protocol has its own
            if not _is_absent(error):
                raise UserError(f"{self.url}/{name}: cannot be read: {_line(error)}") from error
            if not optional:
                reason = "missing, so it is not a checkpoint of OLMo-core"
                raise UserError(f"{self.url}/{name}: {reason}") from error
        else:
            partial.rename(target)


def _is_absent(error: Exception) -> bool:
    """Whether a file is not there; object stores may call that forbidden."""
    forbidden = isinstance(error, PermissionError) or getattr(error, "status", None) == 403
    return forbidden or isinstance(error, FileNotFoundError)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
