"""``olmoflow import source=…``: a Hugging Face or OLMo-core checkpoint into one of ours."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.checkpoints import TOKENIZER
from olmoflow.errors import UserError


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Import a checkpoint; see ``conf/import.yaml`` for the settings."""
    source = str(config["source"])
    origin = _origin(source)
    with claim(
        "checkpoint", command="import", config=config, inputs=[origin], name=config["name"]
    ) as work:
        if work.finished is None:
            from olmoflow.model.checkpoint import write_checkpoint

            imported = _read(source)
            # Only OLMo-core's checkpoints come with an optimizer and a step.
            step = getattr(imported, "step", 0)
            moments = getattr(imported, "optimizer", None)
            tokenizer = config["tokenizer"] or imported.tokenizer
            if tokenizer:
                shutil.copytree(tokenizer, work.path / TOKENIZER, dirs_exist_ok=True)
            checkpoint = write_checkpoint(
                work.path, imported.config, imported.tensors, moments, step
            )
            if config["verify"]:
                checkpoint.verify()
            work.finish(
                {
                    "parameters": imported.config.num_parameters,
                    "step": checkpoint.step,
                    "optimizer": checkpoint.has_optimizer,
                }
            )
    assert work.finished is not None
    return {
        "checkpoint": work.finished.name,
        "path": str(work.path),
        **work.finished.figures,
    }


def report(result: Mapping[str, Any]) -> None:
    """Say what was imported."""
    moments = "with" if result["optimizer"] else "without"
    print(
        f"checkpoint {result['checkpoint']}@{result['step']}: {result['parameters']:,} parameters, "
        f"{moments} optimizer state"
    )


def _origin(source: str) -> Input:
    kind, _, rest = source.partition(":")
    if kind == "hf" and rest:
        # The revision is part of the text, and with it of the key.
        return Input("source", "external", rest, source, Path(rest))
    path = rest if kind == "olmo_core" and rest else source
    if "://" in path:
        return Input("source", "external", path, path, Path(path))
    if not Path(path).expanduser().is_dir():
        raise UserError(
            f"source={source}: no such folder; expected DIR, hf:REPO@REVISION or olmo_core:DIR"
        )
    return resolve(path, "source", [])


def _read(source: str) -> Any:
    if source.startswith("olmo_core:"):
        from olmoflow.model.olmo_core import import_olmo_core

        return import_olmo_core(source.removeprefix("olmo_core:"))
    from olmoflow.model.hf import import_hf

    return import_hf(source)
