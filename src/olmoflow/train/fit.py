"""Runs the training loop: Lightning's, with our strategy, callbacks and checkpoints."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from olmoflow.mesh import Mesh
from olmoflow.series import series_steps, step_folder
from olmoflow.train.allocator import keep_freed_memory
from olmoflow.train.callbacks import (
    CheckpointCadence,
    MetricsFile,
    Progress,
    Reporter,
    StopSignal,
)
from olmoflow.train.callbacks.reporter import Sink
from olmoflow.train.module import OlmoModule, StartFrom
from olmoflow.train.save_policy import SavePolicy
from olmoflow.train.strategy import HSDPStrategy

METRICS = "metrics.csv"
Stopped = Literal["finished", "hard_stop", "signal", "out_of_time"]


@dataclass(frozen=True)
class FitResult:
    """What a run came to.

    Attributes:
        steps: Optimizer steps done, over all starts of the run.
        tokens: Tokens seen.
        final: The last report's metrics.
        stopped: Why it ended.
    """

    steps: int
    tokens: int
    final: dict[str, float]
    stopped: Stopped


@dataclass
class FitOptions:
    """How `fit` runs.

    Attributes:
        run_dir: Checkpoints, metrics.csv and whatever the loggers write.
        max_steps: The schedule's and the data's last step.
        hard_stop: Stop earlier, at this step.
        accelerator: auto, cpu, cuda or mps.
        mesh: How the ranks share the work.
        save: When checkpoints are written and which are kept.
        log_every: Steps between two reports.
        progress: Show where the run is.
        sinks: Further listeners of the reports.
        callbacks: Further callbacks; they come after the report of a step and before its
            checkpoint.
        start_from: Weights of another run.
    """

    run_dir: Path
    max_steps: int
    hard_stop: int | None = None
    accelerator: str = "auto"
    mesh: Mesh = field(default_factory=Mesh)
    save: SavePolicy = field(default_factory=SavePolicy)
    log_every: int = 10
    progress: bool = True
    sinks: Sequence[Sink] = ()
    callbacks: Sequence[pl.Callback] = ()
    start_from: StartFrom | None = None


def fit(
    module: OlmoModule,
    data: pl.LightningDataModule,
    options: FitOptions,
    *,
    sequence_length: int,
) -> FitResult:
    """Train, from the newest complete checkpoint in the run folder if there is one.

    Raises:
        UserError: A checkpoint is damaged or of another model, or the ranks do not fit the mesh.
    """
    _quieten()
    keep_freed_memory()
    options.run_dir.mkdir(parents=True, exist_ok=True)
    series, last_step = options.run_dir, options.hard_stop or options.max_steps
    resumed = max(series_steps(series), default=None)
    file = MetricsFile(options.run_dir / METRICS)
    stop, progress = StopSignal(), Progress(last_step, shown=options.progress)
    strategy = HSDPStrategy(options.mesh, series=series, asynchronous=options.save.asynchronous)
    world = options.mesh.ranks
    # Several nodes have as many ranks each; torchrun and our srun tasks say how many.
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world)) if world > 1 else 1
    reporter = Reporter(options.log_every, sequence_length, [file, progress, *options.sinks])
    trainer = pl.Trainer(
        accelerator="gpu" if options.accelerator == "cuda" else options.accelerator,
        devices=local,
        num_nodes=world // local,
        strategy=strategy,
        plugins=[TorchElasticEnvironment() if world > 1 else LightningEnvironment()],
        max_steps=last_step,
        max_epochs=-1,
        callbacks=[
            *(stop, reporter, progress),
            *options.callbacks,
            CheckpointCadence(options.save, stop),
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=options.run_dir,
    )
    if trainer.is_global_zero:
        file.resume_at(resumed or 0, options.log_every, last_step)
    module.resumes = resumed is not None
    module.start_from = options.start_from if resumed is None else None
    # At more than one rank Lightning would broadcast a flag of its own every step.
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    taken_up = None if resumed is None else str(step_folder(series, resumed))
    with stop.handled():
        trainer.fit(module, data, ckpt_path=taken_up)
    stopped: Stopped = "finished"
    if stop.received and trainer.global_step < last_step:
        stopped = "out_of_time" if stop.out_of_time else "signal"
    elif trainer.global_step < options.max_steps:
        stopped = "hard_stop"
    # Nothing was left to be done for a run that was killed after its last checkpoint.
    final = reporter.latest or file.last()
    return FitResult(trainer.global_step, module.tokens, final, stopped)


def _quieten() -> None:
    """Silence what tells the user nothing that they could act on."""
    warnings.filterwarnings("ignore", module=r"lightning.*")
    warnings.filterwarnings("ignore", module=r"torch\.distributed.*")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
