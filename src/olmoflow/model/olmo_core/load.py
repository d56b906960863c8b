"""An OLMo-core checkpoint as our config, tensors and optimizer state."""

import io
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata

from olmoflow.errors import UserError
from olmoflow.model.checkpoint.read import DataReader, iter_entries, read_index, tensor_shapes
from olmoflow.model.config import Olmo3Config
from olmoflow.model.json_file import read_json_object
from olmoflow.model.olmo_core.config import read_olmo_core_config
from olmoflow.model.olmo_core.names import NAMES
from olmoflow.model.rename import check_tensors

CONFIG, STATE, TRAINER = "config.json", "model_and_optim", "train/rank0.pt"
_MODEL, _OPTIMIZER = "model.", "optim.state."
_DAMAGE = (zipfile.BadZipFile, RuntimeError, OSError, ValueError, EOFError, pickle.PickleError)
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class OlmoCoreCheckpoint(NamedTuple):
    """What a folder holds.

    Attributes:
        config: of the model; the vocabulary's padding rows are kept.
        tensors: `(our name, whole tensor)`, read one at a time, in the stored dtype.
        optimizer: `(key, tensor)` in torch's flat form: `state.<our name>.exp_avg`, `.exp_avg_sq`
            and `.step`; None if the checkpoint has weights only.
        step: optimizer steps done.
        tokens: seen by then; None where the trainer's state is not there.
        tokenizer: None, since the format has none; as of `HuggingFaceModel`.
    """

    config: Olmo3Config
    tensors: Iterator[tuple[str, Tensor]]
    optimizer: Iterator[tuple[str, Tensor]] | None
    step: int
    tokens: int | None
    tokenizer: Path | None = None


def import_olmo_core(folder: str | Path) -> OlmoCoreCheckpoint:
    """Open a checkpoint of OLMo-core; tensors are read when iterated over.

    Args:
        folder: `stepN`, with `config.json` and `model_and_optim/` in it.

    Raises:
        UserError: it is no checkpoint of OLMo-core's, its model is not an Olmo 3 (names the key),
            tensors are not exactly Olmo 3's (names the tensor), or a file is damaged.
    """
    folder = Path(folder)
    config = _read_config(folder / CONFIG)
    state = folder / STATE
    index = read_index(state)
    check_tensors(str(state), config, _renamed(tensor_shapes(index, _MODEL)), NAMES)
    moments = tensor_shapes(index, _OPTIMIZER)
    _check_moments(state, config, moments)
    if missing := [name for name in checkpoint_files(index) if not (state / name).is_file()]:
        raise UserError(f"{state / missing[0]}: missing, though {state / '.metadata'} lists it")
    step, tokens = _progress(folder)
    reader = _CheckedReader(state, index)
    return OlmoCoreCheckpoint(
        config,
        _iter_tensors(reader, list(tensor_shapes(index, _MODEL))),
        _iter_moments(reader, list(moments)) if moments else None,
        step,
        tokens,
    )


def checkpoint_files(index: Metadata) -> list[str]:
    """Names of the files that hold what an import reads: not those with settings only."""
    wanted = (_MODEL, _OPTIMIZER)
    return sorted(
        {
            info.relative_path
            for entry, info in index.storage_data.items()
            if entry.fqn.startswith(wanted)
        }
    )


def _read_config(path: Path) -> Olmo3Config:
    if not path.is_file():
        raise UserError(f"{path}: missing, so {path.parent} is not a checkpoint of OLMo-core")
    return read_olmo_core_config(read_json_object(path), str(path))


def _renamed(shapes: Mapping[str, torch.Size]) -> dict[str, torch.Size]:
    return {NAMES.ours(name): shape for name, shape in shapes.items()}


def _check_moments(where: Path, config: Olmo3Config, found: Mapping[str, torch.Size]) -> None:
    """See that the optimizer's state is AdamW's, of every parameter, or that there is none."""
    if not found:
        return
    by_kind: dict[str, dict[str, torch.Size]] = {kind: {} for kind in _MOMENTS}
    for key, shape in found.items():
        name, _, kind = key.rpartition(".")
        if kind not in by_kind:
            raise UserError(
                f"{where}: optimizer state {key!r} found, but only AdamW's is known: "
                f"{', '.join(_MOMENTS)}"
            )
        by_kind[kind][name] = shape
    for kind in _MOMENTS[1:]:
        check_tensors(f"{where}: optimizer's {kind}", config, _renamed(by_kind[kind]), NAMES)
    if without := by_kind["exp_avg"].keys() - by_kind["step"].keys():
        raise UserError(f"{where}: optimizer's step: none for {min(without)!r}")


def _iter_tensors(reader: DataReader, names: list[str]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in _entries(reader, _MODEL, names):
        yield NAMES.ours(name), tensor


def _iter_moments(reader: DataReader, keys: list[str]) -> Iterator[tuple[str, Tensor]]:
    for key, tensor in _entries(reader, _OPTIMIZER, keys):
        name, _, kind = key.rpartition(".")
        yield f"state.{NAMES.ours(name)}.{kind}", tensor


class _CheckedReader(DataReader):
    """Compares each tensor with the CRC-32 that `torch.save` wrote and `torch.load` ignores.

    It is all that tells of damage: OLMo-core keeps no digests.
    """

    def _slice_file(self, file: Any, sinfo: Any) -> IO[bytes]:
        file.seek(sinfo.offset)
        data = io.BytesIO(file.read(sinfo.length))
        with zipfile.ZipFile(data) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the CRC-32 of {damaged} in {sinfo.relative_path}")
        data.seek(0)
        return data


def _entries(reader: DataReader, prefix: str, keys: list[str]) -> Iterator[tuple[str, Tensor]]:
    entries = iter_entries([prefix + key for key in keys], reader)
    for key in keys:
        try:
            _, tensor = next(entries)
        except _DAMAGE as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{reader.path}: {prefix}{key}: damaged: {reason}") from error
        yield key, tensor


# How far the run was


def _progress(folder: Path) -> tuple[int, int | None]:
    """Steps and tokens by the trainer's state, else the step by the folder's name, else 0."""
    path = folder / TRAINER
    if path.is_file():
        state = _read_numbers(path)
        try:
            return int(state["global_step"]), int(state["global_train_tokens_seen"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: damaged: no global_step in it") from error
    found = re.search(r"step(\d+)", folder.name)
    return (int(found[1]) if found else 0), None


def _read_numbers(path: Path) -> Any:
    """The trainer's state, in which whatever is no plain number or text is left empty.

    The file is a pickle that OLMo-core itself loads without restriction: it holds random states
    of NumPy and whatever the run's callbacks keep. None of it is built here.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            return _InertUnpickler(archive.open(name)).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"{path}: damaged: {error}") from error


class _Inert:
    """Stands for an object of whatever class."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> "_Inert":
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _Inert

    def persistent_load(self, pid: Any) -> Any:
        return None
