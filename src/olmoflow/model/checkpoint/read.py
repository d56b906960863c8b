"""Reading torch distributed checkpoints (DCP) as data, never as code.

DCP's own reader unpickles `.metadata` without restriction, and its planner does the same with
every entry that is not a tensor (torch 2.14: `FileSystemReader.read_metadata`,
`DefaultLoadPlanner.load_bytes`), so a checkpoint from elsewhere could run anything. Here the
index may hold only the plain classes that DCP itself writes, and entries are loaded with
`weights_only=True`.
"""

import io
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem, metadata
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.state_dict_loader import load
from torch.futures import Future

from olmoflow.errors import UserError

INDEX = ".metadata"

# DCP says so at every save and load in a single process, where it is what we want.
warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninit")

_PLAIN_CLASSES = (
    metadata.Metadata,
    metadata.MetadataIndex,
    metadata.TensorStorageMetadata,
    metadata.BytesStorageMetadata,
    metadata.ChunkStorageMetadata,
    metadata.TensorProperties,
    metadata.StorageMeta,
    metadata._MEM_FORMAT_ENCODING,
    filesystem._StorageInfo,
)
_ALLOWED: dict[tuple[str, str], Any] = {
    **{(cls.__module__, cls.__qualname__): cls for cls in _PLAIN_CLASSES},
    **{
        ("torch", name): dtype
        for name, dtype in vars(torch).items()
        if isinstance(dtype, torch.dtype)
    },
    # OLMo-core has a copy of its own.
    ("olmo_core.distributed.checkpoint.filesystem", "_StorageInfo"): filesystem._StorageInfo,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    # Where the checkpoint lay when it was written: read as pure paths, which touch no disk.
    ("pathlib", "PosixPath"): PurePosixPath,
    ("pathlib", "WindowsPath"): PureWindowsPath,
    ("pathlib._local", "PosixPath"): PurePosixPath,  # Python 3.13
    ("pathlib._local", "WindowsPath"): PureWindowsPath,
}


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not plain data")
        return _ALLOWED[module, name]


def read_index(folder: Path) -> Metadata:
    """Read `.metadata` of a DCP folder as plain data.

    Raises:
        UserError: it is absent, damaged, holds anything but data, or points outside the folder.
    """
    path = folder / INDEX
    if not path.is_file():
        raise UserError(f"{path}: missing, so {folder} is not a torch distributed checkpoint")
    try:
        with path.open("rb") as file:
            index = _IndexUnpickler(file).load()
        if not isinstance(index, Metadata) or not isinstance(index.storage_data, dict):
            raise pickle.UnpicklingError("it is not an index of tensors")
        for info in index.storage_data.values():
            if PurePath(info.relative_path).name != info.relative_path:
                raise pickle.UnpicklingError(f"it points outside: {info.relative_path!r}")
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"{path}: refused: {error}") from error
    return index


class DataReader(filesystem.FileSystemReader):
    """DCP's file reader over an index that was read as data.

    Args:
        folder: the DCP folder.
        index: its index, from `read_index`.
        before_use: called with the name of each file before it is read.
    """

    def __init__(
        self, folder: Path, index: Metadata, before_use: Callable[[str], None] | None = None
    ) -> None:
        super().__init__(folder)
        self._index = index
        self._before_use = before_use

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The index as data."""
        return self._index

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read what the plan asks for; see `StorageReader`."""
        if self._before_use is not None:
            for name in {
                self.storage_data[item.storage_index].relative_path for item in plan.items
            }:
                self._before_use(name)
        return super().read_data(plan, planner)


class DataLoadPlanner(DefaultLoadPlanner):
    """DCP's planner over a flat state dict, without its unrestricted `torch.load`."""

    def __init__(self) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Put an entry that is not a tensor into the state dict."""
        key = read_item.dest_index.fqn
        try:
            self.state_dict[key] = torch.load(value, weights_only=True)
        except pickle.UnpicklingError as error:
            raise UserError(f"checkpoint entry {key!r}: refused: it is not plain data") from error


def load_entries(state: dict[str, Any], reader: DataReader, *, no_dist: bool = False) -> None:
    """Fill `state` (flat: key to tensor, sharded tensor or value) in place from a DCP folder.

    Tensors are overwritten where they lie, resharded if need be; other values are replaced.

    Args:
        state: every key must be in the index, every tensor of the stored global shape.
        reader: the folder.
        no_dist: load in this process alone, though others exist.

    Raises:
        UserError: an entry is damaged or holds anything but data.
    """
    with first_cause():
        load(state, storage_reader=reader, planner=DataLoadPlanner(), no_dist=no_dist)


@contextmanager
def first_cause() -> Iterator[None]:
    """Raise what went wrong on the first failing rank itself.

    DCP collects all ranks' failures into a `CheckpointException`, which is a `BaseException` and
    so passes by everybody's error handling.
    """
    try:
        yield
    except CheckpointException as failure:
        error, _ = failure.failures[min(failure.failures)]
        raise error from failure


def iter_entries(names: Iterable[str], reader: DataReader) -> Iterator[tuple[str, Any]]:
    """Yield `(name, tensor or value)` of a DCP folder, reading one at a time."""
    for name in names:
        entry = reader.read_metadata().state_dict_metadata[name]
        state: dict[str, Any] = {name: None}
        if isinstance(entry, TensorStorageMetadata):
            state[name] = torch.empty(entry.size, dtype=entry.properties.dtype)
        load_entries(state, reader, no_dist=True)
        yield name, state[name]


def tensor_shapes(index: Metadata, prefix: str) -> dict[str, torch.Size]:
    """Global shapes of the tensors whose key starts with `prefix`, by their key without it."""
    return {
        key.removeprefix(prefix): entry.size
        for key, entry in index.state_dict_metadata.items()
        if key.startswith(prefix) and isinstance(entry, TensorStorageMetadata)
    }
