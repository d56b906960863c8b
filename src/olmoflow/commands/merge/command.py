"""``olmoflow merge``: several checkpoints into their weighted mean, or adapters into their base."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim
from olmoflow.commands.inputs.checkpoints import (
    TOKENIZER,
    find_checkpoint,
    open_checkpoint,
    tokenizer_folder,
)
from olmoflow.commands.merge.fold import fold
from olmoflow.errors import UserError

# What of a tokenizer.json makes its ids.
_IDENTITY = ("vocab", "merges")


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Merge; see ``conf/merge.yaml`` for the settings."""
    references = _references(config["checkpoints"])
    weights = _weights(config["weights"], references)
    if len(references) == 1 and config["weights"] is not None:
        raise UserError(f"weights={config['weights']}: one checkpoint found; expected null")
    inputs = [find_checkpoint(r, f"checkpoints[{i}]") for i, r in enumerate(references)]
    fixed = {
        **config,
        "checkpoints": [i.key if i.step is None else f"{i.key}@{i.step}" for i in inputs],
        "weights": weights,
    }
    with claim(
        "checkpoint", command="merge", config=fixed, inputs=inputs, name=config["name"]
    ) as work:
        if work.finished is None:
            one = len(inputs) == 1
            work.finish(fold(inputs[0], work.path) if one else _merge(inputs, weights, work.path))
    assert work.finished is not None
    return {"checkpoint": work.finished.name, "path": str(work.path), **work.finished.figures}


def report(result: Mapping[str, Any]) -> None:
    """Say what came out."""
    parts = ", ".join(
        f"{share:.4g} of {name}"
        for name, share in zip(result["merged"], result["shares"], strict=True)
    )
    print(f"checkpoint {result['checkpoint']}@{result['step']}: {parts}")


def _merge(inputs: Sequence[Input], weights: Sequence[float], folder: Path) -> dict[str, Any]:
    """Write the soup; returns its figures."""
    from olmoflow.model.checkpoint import average, check_alike, list_steps, write_checkpoint
    from olmoflow.model.hf.tokenizer import copy_tokenizer

    checkpoints = [open_checkpoint(found) for found in inputs]  # adapters are told to be folded in
    names = [i.name if i.step is None else f"{i.name}@{i.step}" for i in inputs]
    labels = [f"{i.role}={name}" for i, name in zip(inputs, names, strict=True)]
    check_alike(checkpoints, labels)
    if tokenizer := _tokenizer(inputs, labels):
        copy_tokenizer(tokenizer, folder / TOKENIZER)
    step = max(checkpoint.step for checkpoint in checkpoints)
    # A step that an interrupted merge left behind is whole.
    if not list_steps(folder):
        mean = average(checkpoints, weights, labels)
        write_checkpoint(folder, checkpoints[0].config, mean, step=step)
    return {
        "parameters": checkpoints[0].config.num_parameters,
        "step": step,
        "merged": names,
        "shares": [weight / sum(weights) for weight in weights],
    }


def _references(value: Any) -> list[str]:
    if not isinstance(value, list) or not value:
        raise UserError(
            f"checkpoints={value}: expected a list of two or more, [NAME,NAME@STEP,…], or of one "
            "that holds adapters"
        )
    return [str(reference) for reference in value]


def _weights(value: Any, references: Sequence[str]) -> list[float]:
    if value is None:
        return [1.0] * len(references)
    right = (
        isinstance(value, list)
        and len(value) == len(references)
        and all(isinstance(w, int | float) and math.isfinite(w) and w >= 0 for w in value)
    )
    if not right or not sum(value):
        raise UserError(
            f"weights={value}: expected {len(references)} numbers of at least 0, one a checkpoint, "
            "not all of them 0"
        )
    return [float(weight) for weight in value]


def _tokenizer(inputs: Sequence[Input], labels: Sequence[str]) -> Path | None:
    """The tokenizer that all share; None if none has one.

    Raises:
        UserError: Two differ: their models' rows stand for different tokens.
    """
    found = [(t, label) for i, label in zip(inputs, labels, strict=True) if (t := _folder(i))]
    if not found:
        return None
    first, of = found[0]
    for other, label in found[1:]:
        if other != first and _identity(other) != _identity(first):
            raise UserError(f"{label}: its tokenizer is another than that of {of}")
    return first


def _folder(found: Input) -> Path | None:
    own = tokenizer_folder(found)
    return own if own is not None and (own / "tokenizer.json").is_file() else None


def _identity(tokenizer: Path) -> dict[str, Any]:
    data = json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))
    added = {token["content"]: token["id"] for token in data.get("added_tokens", [])}
    return {"added": added} | {key: data["model"].get(key) for key in _IDENTITY}
