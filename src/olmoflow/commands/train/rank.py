"""One rank of a training run, started from the run folder: ``python -m … RUN_DIR``."""

from __future__ import annotations

import copy
import gc
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import torch
import yaml

from olmoflow.artifact import Input
from olmoflow.commands.config.adapters import build_adapter
from olmoflow.commands.config.build import build
from olmoflow.commands.config.combinations import shard_nodes
from olmoflow.commands.inputs.checkpoints import TOKENIZER, device_of, open_checkpoint
from olmoflow.commands.launching.launch import OUTCOME, run_rank
from olmoflow.commands.train.command import CONFIG, JOB
from olmoflow.digests import write_json
from olmoflow.errors import UserError
from olmoflow.mesh import Mesh

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Within, no garbage is looked for.

    Lightning's import makes half a million objects that all stay; looking through them over a
    thousand times takes a fifth of it.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def train(folder: Path) -> dict[str, Any]:
    """Build what the run folder's config names, train, and leave and return the outcome."""
    with _nothing_collected():
        from olmoflow.train.fit import FitOptions, fit
        from olmoflow.train.module import StartFrom
        from olmoflow.train.save_policy import SavePolicy
        from olmoflow.train.tracking import WandbRun, run_name

    config = yaml.safe_load((folder / CONFIG).read_text())
    job = json.loads((folder / JOB).read_text())
    device_of(config["runtime"]["accelerator"])  # says what there is, if not this one
    start = None
    if job["checkpoint"]:
        start = Input(**{**job["checkpoint"], "path": Path(job["checkpoint"]["path"])})
    module = build_module(config, start)
    check_vocabulary(config, folder / TOKENIZER)
    data = build_data(config, job["sources"], job.get("reference"))
    rank = int(os.environ.get("RANK", 0))
    tracker = None
    if config["logger"]["name"] == "wandb" and rank == 0:
        name = run_name(job["overrides"], job["name"], config["logger"]["named_by"])
        tracker = WandbRun(build_settings(config), folder, name, config)
    options = FitOptions(
        run_dir=folder,
        max_steps=config["max_steps"],
        hard_stop=config["hard_stop"],
        accelerator=config["runtime"]["accelerator"],
        mesh=Mesh.of(config["parallel"]),
        save=SavePolicy(**config["save"]),
        log_every=config["log_every"],
        progress=config["runtime"]["progress"],
        sinks=[tracker] if tracker else [],
        callbacks=build_evaluation(config, folder / TOKENIZER),
        # Adapters stand beside the checkpoint's weights; others go on from them.
        start_from=StartFrom(open_checkpoint(start), config["carry_optimizer"])
        if start and module.adapters is None
        else None,
    )
    outcome: dict[str, Any] | None = None
    try:
        result = fit(module, data, options, sequence_length=config["sequence_length"])
        outcome = asdict(result)
        if tracker and tracker.cancelled_by and outcome["stopped"] == "signal":
            outcome |= {"stopped": "cancelled", "tag": tracker.cancelled_by}
    finally:
        if tracker:
            tracker.finish(outcome)
    if rank == 0:
        write_json(folder / OUTCOME, outcome)
    return outcome


def check_run(folder: Path) -> None:
    """See that a run folder's config can be built, before work is done on its behalf.

    Raises:
        UserError: A node does not fit its class, or values do not fit each other.
    """
    config = yaml.safe_load((folder / CONFIG).read_text())
    build_module(config)
    check_vocabulary(config, folder / TOKENIZER)
    build_evaluation(config, folder / TOKENIZER)


def build_module(config: Mapping[str, Any], start: Input | None = None) -> Any:
    """The LightningModule of a resolved config; its parameters are still on the meta device.

    Args:
        config: The resolved config.
        start: The checkpoint that adapters stand beside, if there are any.

    Raises:
        UserError: A node does not fit its class, or values do not fit each other.
    """
    from olmoflow.train.activation_checkpointing import ActivationCheckpointing
    from olmoflow.train.module import Normalisation, OlmoModule

    model = build(config["model"], "model")
    if config["dtype"] not in DTYPES:
        raise UserError(f"dtype={config['dtype']}: expected one of {', '.join(DTYPES)}")
    if config["sequence_length"] > model.max_sequence_length:
        raise UserError(
            f"sequence_length={config['sequence_length']}: expected at most "
            f"model.max_sequence_length={model.max_sequence_length}"
        )
    if config["normalisation"] not in get_args(Normalisation):
        raise UserError(f"normalisation={config['normalisation']}: expected global or per_rank")
    return OlmoModule(
        model,
        build(config["method"]["objective"], "method.objective"),
        build(config["optimizer"], "optimizer"),
        build(config["schedule"], "schedule"),
        normalisation=config["normalisation"],
        max_grad_norm=config["max_grad_norm"],
        compute_dtype=DTYPES[config["dtype"]],
        attention=config["attention"],
        compile_blocks=config["compile"],
        checkpointing=ActivationCheckpointing(**config["runtime"]["activation_checkpointing"]),
        adapters=build_adapters(config, start),
        seed=config["init_seed"],
    )


def build_adapters(config: Mapping[str, Any], start: Input | None) -> Any:
    """The adapters of a run, beside the weights of `start`."""
    from olmoflow.train.module import Adapters

    settings = build_adapter(config)
    if settings is None or start is None:
        return None
    base = open_checkpoint(start)
    return Adapters(settings, base, f"{start.name}@{base.step}")


def build_evaluation(config: Mapping[str, Any], tokenizer: Path) -> list[Any]:
    """The callback that evaluates in the loop, if there is something to evaluate.

    Raises:
        UserError: A task or a setting is wrong, or the shards have no tokenizer.
    """
    node = config.get("evaluation") or {}
    if node.get("suite") is None and node.get("tasks") is None:
        return []
    from olmoflow.evaluate.in_loop.callback import InLoopEvaluation
    from olmoflow.evaluate.suites import build_suite, suite_of_tasks
    from olmoflow.tokens.tokenizer import load_tokenizer

    every, share, limit = node["every_steps"], node["max_share"], node["limit"]
    if type(every) is not int or every < 1 or every % config["log_every"]:
        raise UserError(
            f"evaluation.every_steps={every}: expected a multiple of log_every="
            f"{config['log_every']}, for the scores stand in its reports"
        )
    if share is not None and not 0 < share <= 1:
        raise UserError(f"evaluation.max_share={share}: expected more than 0 and at most 1")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UserError(f"evaluation.limit={limit}: expected a number of questions, at least 1")
    if not tokenizer.is_dir():
        raise UserError("evaluation: the shards have no tokenizer, and tasks are texts")
    suite = (
        suite_of_tasks(node["tasks"], key="evaluation.tasks")
        if node["tasks"]
        else build_suite(node["suite"])
    )
    return [
        InLoopEvaluation(
            suite,
            load_tokenizer(tokenizer),
            every_steps=every,
            limit=limit,
            max_share=share,
            batch_tokens=config["runtime"]["micro_batch_sequences"] * config["sequence_length"],
        )
    ]


def build_data(config: Mapping[str, Any], folders: list[str], reference: str | None = None) -> Any:
    """The data module of a resolved config, reading the shards in these folders.

    Args:
        config: The resolved config.
        folders: Of each source.
        reference: Where the log-probabilities of pairs under a reference lie.
    """
    node = copy.deepcopy(dict(config["data"]))
    node.pop("mix", None)
    for source, folder in zip(shard_nodes(node), folders, strict=True):
        source["shards"] = folder if "://" in folder else f"{folder}/train"
    runtime = config["runtime"]
    own = {"micro_batch_sequences": runtime["micro_batch_sequences"]}
    if "sources" not in node:
        own = {"micro_batch_tokens": runtime["micro_batch_tokens"], "reference": reference}
    return build(
        node,
        "data",
        **own,
        num_workers=runtime["num_workers"],
        cache_dir=Path(runtime["cache_dir"]) if runtime["cache_dir"] else None,
        cache_bytes=int(float(runtime["cache_bytes"])),
        ignore_fingerprint=runtime["ignore_fingerprint"],
    )


def build_settings(config: Mapping[str, Any]) -> Any:
    """The W&B settings of a resolved config."""
    from olmoflow.train.tracking import WandbSettings

    return WandbSettings(
        **{k: v for k, v in config["logger"].items() if k not in ("name", "named_by")}
    )


def check_vocabulary(config: Mapping[str, Any], tokenizer: Path) -> None:
    """Compare model and tokenizer.

    Raises:
        UserError: The tokenizer has ids that the model has no row for.
    """
    if not tokenizer.is_dir():
        return
    from olmoflow.tokens.tokenizer import load_tokenizer

    found, rows = load_tokenizer(tokenizer).vocab_size, config["model"]["vocab_size"]
    if found > rows:
        raise UserError(
            f"model.vocab_size={rows}: the shards' tokenizer has {found} tokens; expected a model "
            "with as many rows, or shards of a smaller tokenizer"
        )


if __name__ == "__main__":
    run_rank(train)
