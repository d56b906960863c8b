"""A Hugging Face folder or repository as our config and tensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from olmoflow.errors import UserError
from olmoflow.model.config import Olmo3Config
from olmoflow.model.hf.config import from_hf_config
from olmoflow.model.hf.names import NAMES
from olmoflow.model.json_file import read_json_object
from olmoflow.model.rename import check_tensors

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = ("BF16", "F16", "F32", "F64")
_HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.jinja")


class HuggingFaceModel(NamedTuple):
    """What a folder holds.

    Attributes:
        config: of the model.
        tensors: `(our name, tensor)`, read one at a time, in the stored dtype.
        tokenizer: the folder with the tokenizer's files, None if there are none.
    """

    config: Olmo3Config
    tensors: Iterator[tuple[str, Tensor]]
    tokenizer: Path | None


def import_hf(source: str | Path) -> HuggingFaceModel:
    """Open an Olmo 3 in the format of transformers; tensors are read when iterated over.

    Args:
        source: a folder, or `hf:REPOSITORY@REVISION` (`hf:REPOSITORY` means its branch `main`),
            which is downloaded into the Hub's cache.

    Raises:
        UserError: the model is not an Olmo 3 that we can represent (names the key), its tensors
            are not exactly Olmo 3's (names the tensor), a file is damaged, or the Hub does not
            answer.
    """
    folder = _download(str(source)) if str(source).startswith("hf:") else Path(source)
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(f"{path}: missing, so {folder} is not a Hugging Face model")
    config = from_hf_config(read_json_object(path), str(path))
    files = _files(folder)
    shapes: dict[str, list[int]] = {}
    for file in files:
        with _open(file) as tensors:
            for name in tensors.keys():  # noqa: SIM118
                shapes[NAMES.ours(name)] = tensors.get_slice(name).get_shape()
                if (dtype := tensors.get_slice(name).get_dtype()) not in _DTYPES:
                    raise UserError(
                        f"{file}: tensor {name!r} is {dtype}, expected one of {', '.join(_DTYPES)}"
                    )
    check_tensors(str(folder), config, shapes, NAMES)
    has_tokenizer = (folder / "tokenizer.json").is_file()
    return HuggingFaceModel(config, _iter_tensors(files), folder if has_tokenizer else None)


def _iter_tensors(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    for file in files:
        with _open(file) as tensors:
            for name in tensors.keys():  # noqa: SIM118
                yield NAMES.ours(name), tensors.get_tensor(name)


def _files(folder: Path) -> list[Path]:
    """The safetensors files, checked to be there."""
    if (folder / _SINGLE).is_file():
        return [folder / _SINGLE]
    path = folder / _INDEX
    if not path.is_file():
        raise UserError(f"{folder}: neither {_SINGLE} nor {_INDEX} in it")
    weight_map = read_json_object(path).get("weight_map")
    if not isinstance(weight_map, Mapping):
        raise UserError(f"{path}: weight_map: missing")
    names = sorted(set(weight_map.values()))
    for name in names:
        if PurePath(name).name != name or not (folder / name).is_file():
            raise UserError(f"{path}: names {name!r}, which is not in the folder")
    return [folder / name for name in names]


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise UserError(f"{path}: damaged: {error}") from error


def _download(source: str) -> Path:
    """Fetch a repository's revision into the Hub's cache; returns its folder there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repository, _, revision = source.removeprefix("hf:").partition("@")
    try:
        return Path(
            snapshot_download(
                repository, revision=revision or "main", allow_patterns=list(_HUB_FILES)
            )
        )
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        reason = f"not on the Hub: {error}"
    except GatedRepoError as error:
        reason = f"closed to this account: {error}"
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        first = error.__cause__ or error  # the Hub's own words around it give no reason
        reason = (
            "the Hub cannot be reached, and it is not in the cache "
            f"({type(first).__name__}: {first}); expected a network, or DIR, a copy of it"
        )
    raise UserError(f"{source}: {' '.join(reason.split())}")
