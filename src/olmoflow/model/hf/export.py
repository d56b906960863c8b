"""A model as a Hugging Face folder, written beside its place and renamed when complete."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from olmoflow.digests import flush
from olmoflow.errors import UserError
from olmoflow.model.bounded_groups import bounded_groups
from olmoflow.model.config import Olmo3Config
from olmoflow.model.hf.config import to_hf_config
from olmoflow.model.hf.names import NAMES, VOCABULARY
from olmoflow.model.hf.tokenizer import copy_tokenizer, special_ids, tokenizer_size
from olmoflow.model.rename import check_tensors

_INDEX = "model.safetensors.index.json"


def export_hf(
    tensors: Iterable[tuple[str, Tensor]],
    config: Olmo3Config,
    target: Path,
    *,
    tokenizer: Path,
    vocab_size: int | None = None,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = 5 * 10**9,
    closing_ids: Collection[int] = (),
) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` load.

    Memory stays below one file's worth of tensors and one more.

    Args:
        tensors: `(our name, whole tensor)`, in any order, as of `Checkpoint.iter_tensors`.
        config: of the model.
        target: the folder to make; must not exist, or be empty.
        tokenizer: folder with `tokenizer.json` and `tokenizer_config.json`.
        vocab_size: rows of the vocabulary to keep, the others being padding; None keeps as many
            as the tokenizer has ids.
        dtype: of the exported tensors; None keeps each as it is.
        max_shard_bytes: the weights are split into files of at most this size, or one tensor.
        closing_ids: tokens that end a turn in conversation; generation stops at them too.

    Raises:
        UserError: the target exists, the tokenizer has more ids than the model has rows, or
            tensors are missing, unexpected or of another shape than the config says.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: exists already; expected a new folder")
    ids = tokenizer_size(tokenizer)
    vocab_size = ids if vocab_size is None else vocab_size
    if not ids <= vocab_size <= config.vocab_size:
        raise UserError(
            f"{tokenizer}: the tokenizer has {ids} ids and {vocab_size} rows are to be exported, "
            f"but the model has {config.vocab_size}"
        )
    partial = _made_beside(target)
    stored_dtype = write_weights(partial, tensors, config, vocab_size, dtype, max_shard_bytes)
    special = special_ids(tokenizer)
    name = str(stored_dtype).removeprefix("torch.")
    _write_json(partial / "config.json", to_hf_config(config, vocab_size, name) | special)
    _write_json(partial / "generation_config.json", special | _ends(special, closing_ids))
    copy_tokenizer(tokenizer, partial)
    for path in (*partial.iterdir(), partial):
        flush(path)
    partial.rename(target)


def _made_beside(target: Path) -> Path:
    """An empty folder beside a target's place."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"target={target}: cannot be made ({reason}); expected a new folder in one that can be "
            "written"
        ) from error
    return partial


def _ends(special: dict[str, int | None], closing_ids: Collection[int]) -> dict[str, list[int]]:
    """At what generation stops, if there is more than one such token."""
    eos = special["eos_token_id"]
    ends = sorted({*closing_ids, *([] if eos is None else [eos])})
    return {"eos_token_id": ends} if len(ends) > 1 else {}


def write_weights(
    folder: Path,
    tensors: Iterable[tuple[str, Tensor]],
    config: Olmo3Config,
    vocab_size: int,
    dtype: torch.dtype | None,
    max_shard_bytes: int,
) -> torch.dtype:
    """Write the safetensors files and, if there are several, their index, into a folder.

    Args:
        folder: exists.
        tensors: `(our name, whole tensor)`, in any order.
        config: of the model.
        vocab_size: rows of the vocabulary to keep.
        dtype: of the written tensors; None keeps each as it is.
        max_shard_bytes: of one file.

    Returns:
        The dtype of what was written.

    Raises:
        UserError: tensors are missing, unexpected or of another shape than the config says.
    """
    shapes: dict[str, torch.Size] = {}

    def exported() -> Iterator[tuple[str, Tensor]]:
        for name, tensor in tensors:
            shapes[name] = tensor.shape
            if name in VOCABULARY:
                tensor = tensor[:vocab_size]
            yield NAMES.theirs(name), tensor.to(dtype or tensor.dtype).contiguous()

    shards: list[list[str]] = []
    size, stored = 0, dtype or torch.float32
    for shard in bounded_groups(exported(), max_shard_bytes):
        save_file(shard, folder / _temporary(len(shards)), metadata={"format": "pt"})
        shards.append(list(shard))
        size += sum(tensor.nbytes for tensor in shard.values())
        stored = next(iter(shard.values())).dtype
        # While the next file's tensors gather, these are no longer held.
        shard.clear()
    check_tensors("the tensors to export", config, shapes, NAMES)
    if len(shards) == 1:
        (folder / _temporary(0)).rename(folder / "model.safetensors")
        return stored
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / _temporary(number)).rename(folder / file)
        weight_map |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    _write_json(folder / _INDEX, index)
    return stored


def _temporary(number: int) -> str:
    """A file's name until the number of files is known."""
    return f"{number}.safetensors"


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
