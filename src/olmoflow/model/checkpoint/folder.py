"""The life of a step folder: an empty `.partial`, filled, its digests written, renamed."""

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from olmoflow.digests import flush
from olmoflow.errors import UserError
from olmoflow.model.checkpoint.digests import Digests, FileDigest
from olmoflow.model.checkpoint.read import INDEX
from olmoflow.model.checkpoint.step import (
    ADAPTER,
    MODEL_CONFIG,
    TRAINER,
    Checkpoint,
)
from olmoflow.model.config import Olmo3Config
from olmoflow.series import step_folder


def partial_folder(series: Path, step: int) -> Path:
    """Where a step is written until it is complete."""
    return step_folder(series, step).with_suffix(".partial")


def remove_partial(series: Path) -> None:
    """Remove what killed writers left half-written."""
    for folder in (series / "steps").glob("step-*.partial"):
        shutil.rmtree(folder)


def remove_step(series: Path, step: int) -> None:
    """Remove a step; a kill meanwhile leaves nothing that could be taken for one."""
    partial = partial_folder(series, step)
    step_folder(series, step).rename(partial)
    # What cannot be removed now (NFS keeps files that somebody reads) is, by the next writer.
    shutil.rmtree(partial, ignore_errors=True)


def make_room(series: Path, step: int) -> bool:
    """Make an empty `.partial` folder; False if the step is there already, and intact.

    A damaged step is set aside as `.damaged`, never overwritten.
    """
    final, partial = step_folder(series, step), partial_folder(series, step)
    if final.exists():
        try:
            Checkpoint.open(final).verify()
            return False
        except UserError:
            aside = final.with_suffix(".damaged")
            if aside.exists():
                shutil.rmtree(aside)
            final.rename(aside)
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return True


def write_small_files(
    partial: Path,
    config: Olmo3Config,
    trainer: Mapping[str, Any] | None,
    adapter: Mapping[str, Any] | None = None,
) -> None:
    """Write `model.json`, `adapter.json` and `trainer.pt`.

    Raises:
        TypeError: `trainer` holds something that could not be read back as data.
    """
    (partial / MODEL_CONFIG).write_text(json.dumps(asdict(config), indent=1), encoding="utf-8")
    if adapter is not None:
        (partial / ADAPTER).write_text(json.dumps(adapter, indent=1), encoding="utf-8")
    if trainer is None:
        return
    buffer = io.BytesIO()
    torch.save(dict(trainer), buffer)
    try:
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    except Exception as error:
        raise TypeError(f"the trainer's state cannot be read back as data: {error}") from error
    (partial / TRAINER).write_bytes(buffer.getvalue())


def finish(series: Path, step: int, files: Mapping[str, FileDigest]) -> Checkpoint:
    """Write the digests, flush, and let the step appear under its name.

    Args:
        series: the series.
        step: the step, its `.partial` folder filled.
        files: digests of the DCP files that hold the tensors.
    """
    partial, final = partial_folder(series, step), step_folder(series, step)
    digests = dict(files)
    for name in (INDEX, MODEL_CONFIG, ADAPTER, TRAINER):
        if (partial / name).exists():
            digests[name] = FileDigest.of(partial / name)
            flush(partial / name)
    Digests(step, digests).write(partial)
    flush(partial)
    partial.rename(final)  # fails if a complete folder appeared there meanwhile
    flush(final.parent)
    return Checkpoint.open(final)
