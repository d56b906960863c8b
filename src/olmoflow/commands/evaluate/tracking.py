"""Where ``olmoflow evaluate logger=wandb`` logs an evaluation: of tasks and of held-out text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from olmoflow.artifact import Claim, Input
from olmoflow.errors import UserError


def training_run_of(config: Mapping[str, Any], checkpoint: Input) -> str | None:
    """The id of the W&B run that trained the checkpoint, where the scores are to go into it.

    Raises:
        UserError: There is none, or W&B is not what logs.
    """
    from olmoflow.evaluate.tracking import training_run

    where = config["runtime"]["wandb_run"]
    if where not in ("own", "training"):
        raise UserError(f"runtime.wandb_run={where}: expected own or training")
    if where == "own":
        return None
    if config["logger"]["name"] != "wandb":
        raise UserError("runtime.wandb_run=training: expected logger=wandb")
    return training_run(checkpoint.path, checkpoint.name)


def log(
    config: Mapping[str, Any],
    overrides: list[str],
    work: Claim,
    checkpoint: Input,
    into: str | None,
    result: Mapping[str, Any],
) -> None:
    """Log a result to W&B, where that is what logs.

    Args:
        config: Of the command.
        overrides: What of it was given.
        work: The evaluation, not yet finished.
        checkpoint: What was evaluated.
        into: From `training_run_of`.
        result: The scores.
    """
    if config["logger"]["name"] != "wandb":
        return
    from olmoflow.evaluate.tracking import Filed, log_evaluation
    from olmoflow.train.tracking import WandbSettings, run_name

    node = {k: v for k, v in config["logger"].items() if k not in ("name", "named_by")}
    settings = WandbSettings(**{**node, "job_type": "evaluate"})
    name = run_name(overrides, work.name, config["logger"]["named_by"])
    filed = Filed(settings, name, into, checkpoint.step, work.request)
    log_evaluation(filed, Path(work.path), result)
