"""Where a run starts that names a ``checkpoint``: checked before any rank exists, without torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input
from olmoflow.commands.config.build import build
from olmoflow.commands.config.combinations import POST_TRAIN
from olmoflow.commands.inputs.checkpoints import TOKENIZER, adapters_only
from olmoflow.errors import UserError
from olmoflow.model import Olmo3Config
from olmoflow.series import series_steps, step_folder
from olmoflow.tokens.tokenizer import TOKENIZER as TOKENIZER_FILE

# A stage may stretch the positions, and initial weights are not used: the tensors stay the same.
_MAY_DIFFER = {"yarn", "max_sequence_length", "init_std"}


def check_start(config: Mapping[str, Any], start: Input | None) -> None:
    """Compare the run's architecture with that of the checkpoint that it starts from.

    Raises:
        UserError: They differ (the first key is named), or a key that carries more than weights
            has no checkpoint to carry it from, or post-training none to start from.
    """
    if start is None:
        if config["stage"]["name"] == POST_TRAIN:
            raise UserError(
                f"checkpoint: missing; stage={POST_TRAIN} starts from a trained model, give "
                "checkpoint=NAME"
            )
        for key in ("carry_optimizer", "carry_trainer"):
            if config[key]:
                raise UserError(
                    f"{key}=true: nothing to carry; give checkpoint=NAME or {key}=false"
                )
        return
    if config["carry_trainer"] and (start.step is None or not config["carry_optimizer"]):
        raise UserError(
            "carry_trainer=true: expected checkpoint=NAME@STEP, a step of a run, and "
            "carry_optimizer=true"
        )
    file = step_path(start) / "model.json"
    if not file.is_file():
        return  # what it is instead is told where it is opened
    if (file.parent / "adapter.json").is_file():
        raise UserError(adapters_only(f"checkpoint={start.name}", start.name))
    wanted: Olmo3Config = build(config["model"], "model")
    here = _shape(wanted)
    for key, there in _shape(Olmo3Config.from_dict(json.loads(file.read_bytes()))).items():
        if here[key] != there:
            raise UserError(
                f"model.{key}={here[key]}: checkpoint={start.name} has {there}; expected a "
                "checkpoint of the same architecture (only yarn and max_sequence_length may differ)"
            )


def check_tokenizers(start: Input | None, sources: Sequence[Input]) -> None:
    """See that shards are written in one vocabulary: that of the checkpoint, or the first shards'.

    Added tokens may differ: Instruct has four more than Think, in rows that the model has anyway.

    Raises:
        UserError: An id stands for different tokens in the two.
    """
    first = sources[0] if start is None else start
    known = None if "://" in first.name else _vocabulary(first.path)
    if known is None:
        return
    for source in sources:
        found = None if source is first or "://" in source.name else _vocabulary(source.path)
        if found is None:
            continue
        differing = [id_ for id_ in known.keys() & found.keys() if known[id_] != found[id_]]
        if differing:
            id_ = min(differing)
            raise UserError(
                f"{source.role}={source.name}: tokenized in another vocabulary than that of "
                f"{first.role}={first.name} (token {id_} is {found[id_]!r}, there it is "
                f"{known[id_]!r}); expected shards made with tokenizer=folder "
                f"tokenizer.source={first.name}"
            )


def _vocabulary(folder: Path) -> dict[int, str] | None:
    """The tokens by id, without added ones, of the tokenizer that stands with weights or shards."""
    file = folder / TOKENIZER / TOKENIZER_FILE
    if not file.is_file():
        return None
    whole = json.loads(file.read_bytes())
    added = {token["content"] for token in whole.get("added_tokens", ())}
    return {id_: token for token, id_ in whole["model"]["vocab"].items() if token not in added}


def take_over(start: Input, run_dir: Path) -> None:
    """Put the step into a run folder that has none, so that the run goes on from it as its own.

    The files are linked where the disk allows it, for a step is never written to.
    """
    if series_steps(run_dir):
        return
    source = step_path(start)
    target = run_dir / "steps" / source.name
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, copy_function=_link_or_copy)
    partial.rename(target)


def step_path(start: Input) -> Path:
    """The folder that an input's weights lie in."""
    return start.path if start.step is None else step_folder(start.path, start.step)


def _shape(config: Olmo3Config) -> dict[str, Any]:
    values = {k: v for k, v in asdict(config).items() if k not in _MAY_DIFFER}
    return {**values, "head_dim": config.head_width}


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
