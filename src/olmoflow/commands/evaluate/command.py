"""``olmoflow evaluate``: a checkpoint into scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, find, resolve
from olmoflow.commands.command_line.progress import progress_bar
from olmoflow.commands.evaluate.tracking import find_run, log_scores
from olmoflow.commands.inputs.checkpoints import find_checkpoint, load_model
from olmoflow.digests import write_json
from olmoflow.errors import UserError

NATIVE = "olmoflow.inference.native.engine.NativeEngine"
# What only a suite of tasks heeds: held-out text keeps the key that it has without them.
_OF_TASKS = ("tasks", "limit", "seed", "recompute", "engine", "template")


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Evaluate; see ``conf/evaluate.yaml`` for the settings."""
    if config["checkpoint"] is None:
        raise UserError("checkpoint: missing; give checkpoint=…")
    if config["tasks"] is not None or config["suite"].get("name") != "bits_per_byte":
        from olmoflow.commands.evaluate.tasks import evaluate_tasks

        return evaluate_tasks(config, overrides)
    _check_heldout(config)
    checkpoint = find_checkpoint(config["checkpoint"])
    into = find_run(config, checkpoint)
    shards = find_shards(config["shards"], checkpoint)
    step = f"{checkpoint.key}@{checkpoint.step}"
    fixed = {k: v for k, v in config.items() if k not in _OF_TASKS}
    fixed |= {"checkpoint": step, "shards": None}
    if config["runtime"]["dtype"] != "auto":  # who asks for one wants that one's scores
        fixed["dtype"] = config["runtime"]["dtype"]
    with claim(
        "evaluation",
        command="evaluate",
        config=fixed,
        inputs=[checkpoint, shards],
        name=config["name"],
    ) as work:
        if work.finished is None:
            metrics = _bits_per_byte(config, checkpoint, shards.path)
            write_json(work.path / "metrics.json", metrics)
            log_scores(config, overrides, work, checkpoint.step, into, metrics)
            work.finish(metrics)
        else:
            log_scores(config, overrides, work, checkpoint.step, into, work.finished.figures)
    assert work.finished is not None
    return {"evaluation": work.finished.name, "path": str(work.path), **work.finished.figures}


def report(result: Mapping[str, Any]) -> None:
    """The scores as a table."""
    from olmoflow.commands.evaluate.tables import print_heldout, print_tasks

    print_heldout(result) if "baselines" in result else print_tasks(result)


def find_shards(reference: str | None, checkpoint: Input) -> Input:
    """The shards to score: those that are named, or those of the checkpoint's lineage.

    Raises:
        UserError: There are none, or they have no held-out split.
    """
    if reference is None:
        trained_on = []
        if checkpoint.kind == "checkpoint" and (checkpoint.path / "provenance.json").is_file():
            inputs = find(str(checkpoint.path)).inputs
            trained_on = [i for i in inputs if i.kind == "shards"]
        if not trained_on:
            raise UserError("shards: missing; give shards=… (the checkpoint's lineage names none)")
        found = trained_on[0]
    else:
        found = resolve(reference, "shards", ["shards"])
    if not (found.path / "heldout").is_dir():
        raise UserError(
            f"shards={found.name}: has no held-out split; expected {found.path}/heldout"
        )
    return found


def _check_heldout(config: Mapping[str, Any]) -> None:
    """Refuse settings that this suite would not heed."""
    for key in ("limit", "recompute", "template"):
        if config[key] is not None:
            raise UserError(
                f"{key}={config[key]}: suite=bits_per_byte has no such setting; expected a suite "
                "of tasks"
            )
    for key, may_be_null in (("sequence_length", True), ("batch_size", False)):
        value = config["suite"][key]
        if not (may_be_null and value is None) and (type(value) is not int or value < 1):
            raise UserError(f"suite.{key}={value}: expected a number of at least 1")
    engine = config["engine"]
    if engine["_target_"] != NATIVE:
        raise UserError(
            "engine: suite=bits_per_byte takes the model itself and asks no engine; expected a "
            "suite of tasks, or engine=native"
        )
    for key, neutral in (("max_length", None), ("quantize", "none")):
        if engine[key] != neutral:
            raise UserError(
                f"engine.{key}={engine[key]}: suite=bits_per_byte takes the model as it is and "
                "asks no engine; expected a suite of tasks"
            )


def _bits_per_byte(config: Mapping[str, Any], checkpoint: Input, shards: Path) -> dict[str, Any]:
    from olmoflow.evaluate.bits_per_byte import score_heldout
    from olmoflow.tokens.tokenizer import load_tokenizer

    model = load_model(checkpoint, config["runtime"]).model
    found, rows = load_tokenizer(shards / "tokenizer").vocab_size, model.config.vocab_size
    if found > rows:
        raise UserError(
            f"shards: their tokenizer has {found} tokens, the checkpoint {rows} rows; expected "
            "shards of the checkpoint's own tokenizer"
        )
    length, longest = config["suite"]["sequence_length"], model.config.max_sequence_length
    if length is not None and length > longest:
        raise UserError(
            f"suite.sequence_length={length}: expected at most the {longest} that the model takes"
        )
    with progress_bar("evaluate", config["runtime"]["progress"]) as advance:
        scores = score_heldout(
            model,
            shards,
            sequence_length=length or longest,
            batch_size=config["suite"]["batch_size"],
            progress=advance,
        )
    if not math.isfinite(scores.model.value):
        raise UserError(
            f"checkpoint={checkpoint.name}: the model computes NaN or infinity on the held-out "
            "text; its weights may be damaged, or too large for its dtype"
        )
    rows_by_name = {"all": scores.model, **scores.by_source}
    return {
        "suite": "bits_per_byte",
        "score": scores.model.value,
        "tasks": {
            name: {
                "metric": "bits_per_byte",
                "score": row.value,
                "stderr": row.stderr,
                "n": row.documents,
            }
            for name, row in rows_by_name.items()
        },
        "baselines": {
            "gzip -9, each document": scores.gzip,
            "gzip -9, all in one stream": scores.gzip_stream,
            "unigram": scores.unigram,
        },
    }
