"""What ``logger=wandb`` asks of ``olmoflow train`` where the run is finished already."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from olmoflow.artifact import Artifact


def log_finished(config: Mapping[str, Any], overrides: list[str], finished: Artifact) -> None:
    """Log a run that is reused to W&B if the logger asks for that.

    Its curves come from metrics.csv, once for each project; under another group or other tags the
    same run is filed anew, so that a sweep which meets it again has no hole.

    Args:
        config: The composed config.
        overrides: As on the command line; they name the run.
        finished: The checkpoint series.
    """
    if config["logger"]["name"] != "wandb" or config["dry_run"]:
        return
    from olmoflow.commands.train.command import CONFIG
    from olmoflow.commands.train.rank import build_settings
    from olmoflow.train.callbacks.metrics_file import MetricsFile
    from olmoflow.train.filing import logged, place_of
    from olmoflow.train.fit import METRICS
    from olmoflow.train.tracking import has_api_key, log_afterwards, run_name

    settings, folder = build_settings(config), Path(finished.path)
    if place_of(settings, online=has_api_key()) in logged(folder):
        print(
            f"olmoflow: checkpoint {finished.name} is reused; W&B has it already", file=sys.stderr
        )
        return
    print(f"olmoflow: checkpoint {finished.name} is reused, and logged to W&B", file=sys.stderr)
    trained = yaml.safe_load((folder / CONFIG).read_text())
    log_afterwards(
        settings,
        folder,
        run_name(overrides, finished.name, config["logger"]["named_by"]),
        {**trained, "logger": dict(config["logger"])},
        MetricsFile(folder / METRICS).rows(),
        {"stopped": "finished", **{key: finished.figures[key] for key in ("steps", "tokens")}},
    )
