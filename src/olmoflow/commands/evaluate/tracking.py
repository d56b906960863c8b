"""What ``logger=wandb`` asks of ``olmoflow evaluate``, for scores made now or reused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Claim, Input
from olmoflow.errors import UserError


def find_run(config: Mapping[str, Any], checkpoint: Input) -> str | None:
    """The id of the W&B run that trained the checkpoint, where the scores are to go into it.

    Raises:
        UserError: `runtime.wandb_run` is unknown, lacks its logger, or there is no such run.
    """
    where = config["runtime"]["wandb_run"]
    if where not in ("own", "training"):
        raise UserError(f"runtime.wandb_run={where}: expected own or training")
    if where == "own":
        return None
    if config["logger"]["name"] != "wandb":
        raise UserError("runtime.wandb_run=training: expected logger=wandb")
    from olmoflow.evaluate.tracking import training_run

    return training_run(checkpoint.path, checkpoint.name)


def log_scores(
    config: Mapping[str, Any],
    overrides: list[str],
    work: Claim,
    step: int | None,
    into: str | None,
    result: Mapping[str, Any],
) -> None:
    """Log an evaluation to W&B if its logger asks for that.

    One that an earlier command has finished is logged from its files, once for each project, group
    and set of tags that it is asked for, so that a sweep which meets it again has no hole.

    Args:
        config: The composed config.
        overrides: As on the command line; they name the run.
        work: The evaluation, with its files.
        step: Of the checkpoint.
        into: A W&B run's id, from `find_run`.
        result: What the evaluation says.
    """
    if config["logger"]["name"] != "wandb" or config["dry_run"]:
        return
    from olmoflow.evaluate.tracking import Filed, is_logged, log_evaluation
    from olmoflow.train.tracking import WandbSettings, run_name

    node = {k: v for k, v in config["logger"].items() if k not in ("name", "named_by")}
    settings = WandbSettings(**{**node, "job_type": "evaluate"})
    name = run_name(overrides, work.name, config["logger"]["named_by"])
    filed, folder = Filed(settings, name, into, step, work.request), Path(work.path)
    if is_logged(filed, folder, result):
        print(f"olmoflow: evaluation {work.name} is reused; W&B has it already", file=sys.stderr)
        return
    if work.finished is not None:
        print(f"olmoflow: evaluation {work.name} is reused, and logged to W&B", file=sys.stderr)
    log_evaluation(filed, folder, result)
