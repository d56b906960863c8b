"""``olmoflow import source=…``: a Hugging Face or OLMo-core checkpoint into one of ours."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.inputs.checkpoints import TOKENIZER
from olmoflow.digests import fingerprint
from olmoflow.errors import UserError

DOWNLOAD = "download"


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Import a checkpoint; see ``conf/import.yaml`` for the settings."""
    inputs = [_origin(str(config["source"]))]
    if config["tokenizer_from"] is not None:
        inputs.append(resolve(str(config["tokenizer_from"]), "tokenizer_from", ["tokenizer"]))
    with claim(
        "checkpoint", command="import", config=config, inputs=inputs, name=config["name"]
    ) as work:
        if work.finished is None:
            tokenizer = inputs[1].path if len(inputs) > 1 else None
            work.finish(_import(config, tokenizer, work.path))
    assert work.finished is not None
    return {
        "checkpoint": work.finished.name,
        "path": str(work.path),
        **work.finished.figures,
    }


def _import(config: Mapping[str, Any], tokenizer: Path | None, folder: Path) -> dict[str, Any]:
    """Make the checkpoint; returns its figures."""
    from olmoflow.model.checkpoint import list_steps, write_checkpoint
    from olmoflow.model.finite import finite

    download = folder / DOWNLOAD
    imported = _open(str(config["source"]), download, config["runtime"]["progress"])
    # Only OLMo-core's checkpoints come with an optimizer, a step and a count of tokens.
    step = getattr(imported, "step", 0)
    moments = getattr(imported, "optimizer", None)
    tokens = getattr(imported, "tokens", None)
    _place_tokenizer(tokenizer or imported.tokenizer, folder, imported.config.vocab_size)
    # A step that an interrupted import left behind is whole.
    found = next((each for each in list_steps(folder) if each.step == step), None)
    tensors = finite(f"source={config['source']}", imported.tensors)
    checkpoint = found or write_checkpoint(folder, imported.config, tensors, moments, step)
    if config["verify"]:
        checkpoint.verify()
    shutil.rmtree(download, ignore_errors=True)
    figures = {
        "parameters": imported.config.num_parameters,
        "step": checkpoint.step,
        "optimizer": checkpoint.has_optimizer,
    }
    return figures if tokens is None else figures | {"tokens": tokens}


def report(result: Mapping[str, Any]) -> None:
    """Say what was imported."""
    moments = "with" if result["optimizer"] else "without"
    print(
        f"checkpoint {result['checkpoint']}@{result['step']}: {result['parameters']:,} parameters, "
        f"{moments} optimizer state"
    )


def _origin(source: str) -> Input:
    kind, _, rest = source.partition(":")
    path = rest if kind == "olmo_core" else source
    if rest and (kind == "hf" or (kind == "olmo_core" and "://" in rest)):
        # The revision or the step is part of the text, and with it of the key.
        return Input("source", "external", rest, source, Path(rest))
    folder = Path(path).expanduser()
    if not path or not folder.is_dir():
        raise UserError(
            f"source={source}: no such folder; expected DIR, hf:REPO@REVISION, olmo_core:DIR or "
            "olmo_core:URL"
        )
    return Input("source", "external", folder.name, fingerprint(folder), folder.absolute())


def _open(source: str, download: Path, progress: bool) -> Any:
    """The checkpoint, its tensors still to be read; from a URL it is fetched first."""
    if not source.startswith("olmo_core:"):
        from olmoflow.model.hf import import_hf

        return import_hf(source if source.startswith("hf:") else Path(source).expanduser())
    from olmoflow.model.olmo_core import fetch_olmo_core, import_olmo_core

    place = source.removeprefix("olmo_core:")
    if "://" not in place:
        return import_olmo_core(Path(place).expanduser())
    with progress_bar("fetch", progress) as advance:
        return import_olmo_core(fetch_olmo_core(place, download, advance))


def _place_tokenizer(source: Path | None, folder: Path, rows: int) -> None:
    """Put a tokenizer beside the steps, if there is one.

    Raises:
        UserError: It has more ids than the model has rows.
    """
    if source is None:
        return
    from olmoflow.model.hf.tokenizer import check_settings, copy_tokenizer, tokenizer_size

    if (ids := tokenizer_size(source)) > rows:
        raise UserError(f"{source}: the tokenizer has {ids} ids, but the model has {rows} rows")
    check_settings(source)
    copy_tokenizer(source, folder / TOKENIZER)
