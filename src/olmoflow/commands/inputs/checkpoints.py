"""Opens what a command calls ``checkpoint=``: a step of ours, or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input, resolve
from olmoflow.errors import UserError
from olmoflow.series import step_folder

if TYPE_CHECKING:
    import torch

    from olmoflow.model import Olmo3
    from olmoflow.model.checkpoint import Checkpoint

TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to speak, and the folder of its tokenizer."""

    model: Olmo3
    device: torch.device
    tokenizer: Path | None


def find_checkpoint(reference: str, role: str = "checkpoint") -> Input:
    """Resolve a reference to a checkpoint; the step is pinned."""
    return resolve(reference, role, ["checkpoint"])


def open_checkpoint(found: Input) -> Checkpoint:
    """Open the step that an input names, a whole model.

    Raises:
        UserError: It is no checkpoint of ours, it holds adapters only, or its files are damaged.
    """
    checkpoint = open_step(found)
    if checkpoint.adapter is not None:
        raise UserError(adapters_only(f"{found.role}={found.name}", found.name))
    return checkpoint


def open_step(found: Input) -> Checkpoint:
    """Open the step that an input names, whatever it holds.

    Raises:
        UserError: It is no checkpoint of ours, or its files are damaged.
    """
    from olmoflow.model.checkpoint import Checkpoint

    if found.kind == "checkpoint" and found.step is not None:
        return Checkpoint.open(step_folder(found.path, found.step))
    if (found.path / "model.json").is_file():
        return Checkpoint.open(found.path)
    raise UserError(
        f"{found.role}={found.path}: expected a checkpoint of ours; "
        "`olmoflow import source=…` makes one of a Hugging Face or OLMo-core folder"
    )


def adapters_only(found: str, name: str) -> str:
    """What to say of a step that is no whole model."""
    return (
        f"{found}: holds adapters only; `olmoflow merge checkpoints=[{name}]` makes a whole model "
        "of them and their base"
    )


def tokenizer_folder(found: Input) -> Path | None:
    """The tokenizer that belongs to a checkpoint."""
    own = found.path / TOKENIZER
    if own.is_dir():
        return own
    return found.path if (found.path / "tokenizer.json").is_file() else None


def load_model(
    found: Input, runtime: Mapping[str, Any], *, in_main_memory: bool = False
) -> LoadedModel:
    """Load a model for inference.

    Args:
        found: From `find_checkpoint`.
        runtime: ``accelerator`` (auto, cpu, cuda, mps) and ``dtype`` (auto, float32, bfloat16).
        in_main_memory: Leave the weights there, whichever device is to use them.
    """
    import torch

    from olmoflow.model import Olmo3

    device = device_of(runtime["accelerator"])
    dtype = dtype_of(runtime["dtype"], device)
    place = torch.device("cpu") if in_main_memory else device
    if (found.path / "config.json").is_file() and found.kind == "external":
        from olmoflow.model.hf import import_hf

        imported = import_hf(str(found.path))
        with torch.device("meta"):
            model = Olmo3(imported.config, compute_dtype=dtype)
        model.to_empty(device=place).to(dtype)
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in imported.tensors:  # one at a time: the model fits, twice it may not
                parameters[name].copy_(tensor)
    else:
        checkpoint = open_checkpoint(found)
        with torch.device("meta"):
            model = Olmo3(checkpoint.config, compute_dtype=dtype)
        model.to_empty(device=place)
        checkpoint.load_model(model)
    model.to(dtype).eval().requires_grad_(False)
    return LoadedModel(model, device, tokenizer_folder(found))


def device_of(name: str) -> torch.device:
    """The device that ``runtime.accelerator`` names.

    Raises:
        UserError: This machine has none such.
    """
    import torch

    available = ["cpu"]
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise UserError(f"runtime.accelerator={name}: this machine has {', '.join(available)}")
    return torch.device(name)


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """The dtype that ``runtime.dtype`` names; ``auto`` depends on the device.

    Raises:
        UserError: There is none such.
    """
    import torch

    choices = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in choices:
        raise UserError(f"runtime.dtype={name}: expected auto, {', '.join(choices)}")
    return choices[name]
