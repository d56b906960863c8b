"""Adapters folded into their base: a checkpoint like any other, of what `olmoflow train` left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from olmoflow.artifact import Input
from olmoflow.commands.inputs.checkpoints import (
    TOKENIZER,
    find_checkpoint,
    open_checkpoint,
    open_step,
    tokenizer_folder,
)
from olmoflow.digests import file_digest
from olmoflow.errors import UserError

if TYPE_CHECKING:
    from olmoflow.model.checkpoint import Checkpoint


def fold(found: Input, folder: Path) -> dict[str, Any]:
    """Write the plain model of a checkpoint of adapters; returns the command's figures.

    Raises:
        UserError: The checkpoint holds no adapters, or their base is not to be found.
    """
    from olmoflow.model.checkpoint import list_steps, write_checkpoint
    from olmoflow.model.finite import finite
    from olmoflow.model.hf.tokenizer import copy_tokenizer
    from olmoflow.train.adapters import LoRA, folded

    run = open_step(found)
    if run.adapter is None:
        raise UserError(
            f"checkpoints=[{found.name}]: holds a whole model; expected two or more of those, or "
            "one that holds adapters"
        )
    base, name = find_base(run)
    if not list_steps(folder):
        tensors = folded(base, dict(run.iter_tensors()), LoRA(**run.adapter["settings"]))
        sound = finite(f"checkpoints=[{found.name}]", tensors)
        write_checkpoint(folder, run.config, sound, step=run.step)
    if tokenizer := tokenizer_folder(found):
        copy_tokenizer(tokenizer, folder / TOKENIZER)
    own = found.name if found.step is None else f"{found.name}@{found.step}"
    return {
        "parameters": run.config.num_parameters,
        "step": run.step,
        "merged": [name, own],
        "shares": [1.0, 1.0],
    }


def find_base(run: Checkpoint) -> tuple[Checkpoint, str]:
    """The model that adapters were trained beside, and what it was called.

    Where it lay is looked at first, then an artifact of its name: folders are moved.

    Raises:
        UserError: It is gone, or another model has its place.
    """
    from olmoflow.model.checkpoint import Checkpoint
    from olmoflow.model.checkpoint.digests import DIGESTS

    assert run.adapter is not None
    base = run.adapter["base"]
    if (Path(base["path"]) / DIGESTS).is_file():
        checkpoint = Checkpoint.open(Path(base["path"]))
    else:
        try:
            checkpoint = open_checkpoint(find_checkpoint(base["name"]))
        except UserError as error:
            raise UserError(
                f"{run.path}: its adapters stand beside {base['name']}, which is neither at "
                f"{base['path']} nor an artifact; expected it there"
            ) from error
    if file_digest(checkpoint.path / DIGESTS) != base["digest"]:
        raise UserError(
            f"{checkpoint.path}: another model than {base['name']}, which the adapters of "
            f"{run.path} were trained beside"
        )
    return checkpoint, base["name"]
