"""An evaluation in Weights & Biases, in a run of its own or in the one that trained the model."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.outputs import METRICS, read_predictions
from olmoflow.evaluate.runner.summary import hash_of
from olmoflow.evaluate.scores import scores_of
from olmoflow.train.filing import logged, note, place_of
from olmoflow.train.tracking import ID_FILE, WandbSettings, has_api_key

STEP = "eval/step"
# Predictions of each task that are shown.
_SHOWN = 20


@dataclass(frozen=True)
class Filed:
    """Where an evaluation is filed.

    Attributes:
        settings: Project, group, tags.
        name: Of a run of its own.
        into: The id of the run that trained the model; None: a run of its own.
        step: Of the checkpoint.
        request: What was evaluated, and how: command, config, inputs.
    """

    settings: WandbSettings
    name: str
    into: str | None
    step: int | None
    request: Mapping[str, Any]


def training_run(run_dir: Path, name: str) -> str:
    """The id of the W&B run that trained a checkpoint.

    Raises:
        UserError: It was trained without W&B.
    """
    file = run_dir / ID_FILE
    if not file.is_file():
        raise UserError(
            f"runtime.wandb_run=training: {name} was not trained with logger=wandb; expected {file}"
        )
    return file.read_text().strip()


def log_evaluation(filed: Filed, folder: Path, result: Mapping[str, Any]) -> None:
    """Log scores, a table of them and some predictions.

    A score is drawn over the step of its checkpoint, which may lie before what the run has logged.
    What W&B cannot take costs nothing but a line: the files have everything. What it has taken is
    noted in ``wandb_logged.json``; see `is_logged`.
    """
    import wandb

    settings, own = filed.settings, filed.into is None
    try:
        run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            group=settings.group if own else None,
            job_type=settings.job_type if own else None,
            tags=list(settings.tags) if own else None,
            name=filed.name if own else None,
            id=filed.into or _own_id(folder),
            resume="allow",
            dir=str(folder),
            config=dict(filed.request) if own else None,
            mode="online" if has_api_key() else "offline",
        )
        run.define_metric(STEP)
        run.define_metric("eval/*", step_metric=STEP)
        tables = {"eval/scores": _scores(result), "eval/predictions": _predictions(folder)}
        run.log({STEP: filed.step or 0, **scores_of(result), **tables})
        run.finish()
        note(folder, _entry(filed, result))
    except Exception as error:
        print(f"olmoflow: not logged to W&B ({error}); {folder} has all of it", file=sys.stderr)


def is_logged(filed: Filed, folder: Path, result: Mapping[str, Any]) -> bool:
    """Whether W&B has these scores already, under the same settings."""
    return _entry(filed, result) in logged(folder)


def _entry(filed: Filed, result: Mapping[str, Any]) -> dict[str, Any]:
    """What is noted of a logging."""
    place = place_of(filed.settings, online=has_api_key())
    return {**place, "into": filed.into, "scores": hash_of(result)}


def _own_id(folder: Path) -> str:
    file = folder / ID_FILE
    if not file.exists():
        file.write_text(secrets.token_hex(4))
    return file.read_text().strip()


def _scores(result: Mapping[str, Any]) -> Any:
    import wandb

    columns: list[str | int] = ["task", "metric", "score", "stderr", "n", "error"]
    rows = [
        [task, *(row.get(str(column)) for column in columns[1:])]
        for task, row in result["tasks"].items()
    ]
    return wandb.Table(columns=columns, data=rows)


def _predictions(folder: Path) -> Any:
    import wandb

    columns: list[str | int] = ["task", "doc_id", "label", "answer", "metrics"]
    rows = []
    for path in sorted((folder / "tasks").glob(f"*/{METRICS}")):
        for row in islice(read_predictions(path.parent), _SHOWN):
            said = [text for o in row["model_output"] for text in o.get("continuations", ())]
            rows.append(
                [
                    path.parent.name.partition("-")[2],
                    str(row["doc_id"]),
                    str(row["label"]),
                    "\n---\n".join(said),
                    str(row["metrics"]),
                ]
            )
    return wandb.Table(columns=columns, data=rows)
