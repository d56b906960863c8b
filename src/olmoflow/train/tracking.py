"""Weights & Biases: one run per run folder, offline when there is no API key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.environment import slurm_record

ID_FILE = "wandb_id.txt"


@dataclass(frozen=True)
class WandbSettings:
    """Where the run is filed.

    Attributes:
        project: W&B project.
        entity: User or team; None: the default.
        group: Runs that belong together, such as the cells of an ablation.
        job_type: The command.
        tags: Free labels.
    """

    project: str = "olmoflow"
    entity: str | None = None
    group: str | None = None
    job_type: str = "train"
    tags: Sequence[str] = ()


class WandbRun:
    """A W&B run that goes on across resumes: its id is kept in the run folder.

    Args:
        settings: Where it is filed.
        run_dir: The run folder; ``wandb/`` in it holds an offline run.
        name: Shown in the list of runs.
        config: The resolved config.
    """

    def __init__(
        self, settings: WandbSettings, run_dir: Path, name: str, config: Mapping[str, Any]
    ) -> None:
        import wandb

        self.run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            group=settings.group,
            job_type=settings.job_type,
            tags=list(settings.tags),
            name=name,
            id=self._id(run_dir),
            resume="allow",
            dir=str(run_dir),
            config=dict(config),
            mode="online" if has_api_key() else "offline",
        )
        if slurm := slurm_record():
            # Of several jobs that went on with the run, the newest.
            shown: Any = self.run.config
            shown.update({"slurm": slurm}, allow_val_change=True)

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        """Log a report."""
        self.run.log(metrics, step=step)

    def finish(self) -> None:
        """Close the run."""
        self.run.finish()

    @staticmethod
    def _id(run_dir: Path) -> str:
        file = run_dir / ID_FILE
        if not file.exists():
            file.write_text(secrets.token_hex(4))
        return file.read_text().strip()


def has_api_key() -> bool:
    """Whether W&B could log in without asking."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return False
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    return netrc.is_file() and "api.wandb.ai" in netrc.read_text()
