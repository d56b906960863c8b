"""Opens the engine that a command's ``engine=`` chose, for a checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input
from olmoflow.commands.config.build import build, check, locate
from olmoflow.commands.inputs.checkpoints import device_of, dtype_of, load_model, tokenizer_folder
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.inference.engine import Engine

# What an engine's class may ask for beside its settings, by the name of its argument.
SUPPLIED = frozenset({"model", "tokenizer", "serves", "folder", "device", "dtype"})


def open_engine(config: Mapping[str, Any], checkpoint: Input, runtime: Mapping[str, Any]) -> Engine:
    """Make an engine speak for a checkpoint.

    The engine's class says by its arguments what it needs: ``model``, the checkpoint loaded into
    this process, and its ``tokenizer``; ``folder``, its Hugging Face files; the ``device`` and
    ``dtype`` to run in; or ``serves``, the name under which a server has to have it, so that no
    other model is taken for this one.

    Args:
        config: The command's ``engine`` node: a ``_target_`` and its settings.
        checkpoint: From `find_checkpoint`.
        runtime: ``accelerator`` and ``dtype``, for a model that is loaded here.

    Raises:
        UserError: A setting is mistyped, the checkpoint cannot be loaded, or the server is not
            there, or has another model.
    """
    wanted = SUPPLIED.intersection(
        inspect.signature(locate(config["_target_"], "engine")).parameters
    )
    check(config, "engine", wanted)  # before a model is loaded in vain
    given: dict[str, Any] = {}
    if "model" in wanted:
        # Packed piece by piece on its way: the whole model may be more than the device holds.
        packed = config.get("quantize") not in (None, "none")
        given["model"] = load_model(checkpoint, runtime, in_main_memory=packed).model
    if "tokenizer" in wanted:
        given["tokenizer"] = _tokenizer(checkpoint)
    if "folder" in wanted:
        given["folder"] = _hf_folder(checkpoint)
    if "device" in wanted:
        given["device"] = device_of(runtime["accelerator"])
    if "dtype" in wanted:
        given["dtype"] = dtype_of(runtime["dtype"], device_of(runtime["accelerator"]))
    if "serves" in wanted:
        given["serves"] = served_name(checkpoint)
    engine: Engine = build(config, "engine", **given)
    if not hasattr(engine, "generate"):
        raise UserError(
            "engine: a chat endpoint answers messages and knows no tokens; expected native, vllm "
            "or hf"
        )
    return engine


def served_name(checkpoint: Input) -> str:
    """What a server calls a checkpoint: no two have the same name, whatever they are called here.

    The key and step of one of ours, the fingerprint of a Hugging Face folder.
    """
    return checkpoint.key if checkpoint.step is None else f"{checkpoint.key}@{checkpoint.step}"


def _hf_folder(checkpoint: Input) -> Path:
    if checkpoint.kind == "external" and (checkpoint.path / "config.json").is_file():
        return checkpoint.path
    raise UserError(
        f"engine=hf: {checkpoint.name} is no Hugging Face folder; `olmoflow export checkpoint=… "
        "target=…` makes one, and engine=native takes it as it is"
    )


def _tokenizer(checkpoint: Input) -> Any:
    from olmoflow.tokens.tokenizer import load_tokenizer

    folder = tokenizer_folder(checkpoint)
    return load_tokenizer(folder) if folder else None
