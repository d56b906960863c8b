"""A run as a report sees it: what was set, what came out, and its curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from olmoflow.artifact import Artifact, Input, artifacts, open_artifact
from olmoflow.identity import flatten
from olmoflow.lineage import Ancestor, lineage

JOB, METRICS = "job.json", "metrics.csv"
MACRO = "macro"
# What a run was called, where it ran and what it wrote down: no setting of an experiment.
_NOT_SETTINGS = ("name", "output", "group", "logger", "cluster", "runtime", "save", "log_every")


@dataclass(frozen=True)
class Run:
    """A checkpoint with what is known of it.

    Attributes:
        name: Of the artifact.
        overrides: What its command line set, in that order; None where none was kept.
        config: Its resolved config, flat.
        metrics: Figures of the run and of the evaluations of it.
        curve: Its metrics.csv, if it has one.
        inputs: The artifacts that this was read from.
    """

    name: str
    overrides: Mapping[str, str] | None
    config: Mapping[str, Any]
    metrics: Mapping[str, float]
    curve: Path | None
    inputs: Sequence[Input] = field(default=(), repr=False)


@dataclass(frozen=True)
class Failure:
    """A job that left nothing to report.

    Attributes:
        job: Its overrides.
        error: Its message.
    """

    job: str
    error: str


def collect_runs(found: Sequence[Artifact]) -> list[Run]:
    """Read the runs that artifacts stand for, each once, in the order given.

    An evaluation stands for the checkpoint that it scored. A run has the scores of all evaluations
    that exist of it; a step before the last is a run of its own.
    """
    known = artifacts("evaluation")
    subjects: dict[tuple[str, int | None], Artifact] = {}
    for artifact in found:
        checkpoint = _checkpoint_of(artifact)
        subject, step = checkpoint or (artifact, _last_step(artifact))
        subjects.setdefault((subject.key, step), subject)
    return [_read(subject, step, known) for (_, step), subject in subjects.items()]


def inherited(run: Run, key: str) -> Any:
    """A setting of what a run was made from: of the nearest ancestor that has one; None."""
    subject = open_artifact(run.inputs[0].path) if run.inputs else None
    level = lineage(subject) if subject is not None else []
    while level:
        for ancestor in level:
            found = _setting(ancestor, key)
            if found is not None:
                return found
        level = [above for ancestor in level for above in ancestor.parents]
    return None


def _setting(ancestor: Ancestor, key: str) -> Any:
    made = ancestor.artifact
    return None if made is None else flatten(made.provenance["config"]).get(key)


def _read(subject: Artifact, step: int | None, evaluations: Sequence[Artifact]) -> Run:
    scores = [subject] if subject.kind == "evaluation" else []
    for evaluation in evaluations:
        of = _checkpoint_of(evaluation)
        if of is not None and (of[0].key, of[1]) == (subject.key, step):
            scores.append(evaluation)
    config = {k: v for k, v in subject.provenance["config"].items() if k not in _NOT_SETTINGS}
    flat, overrides = flatten(config), _overrides(subject.path / JOB)
    curve: Path | None = subject.path / METRICS
    metrics = _numbers(subject.figures) if subject.kind != "evaluation" else {}
    name = subject.name
    if step != _last_step(subject):
        # Its figures and its curve are those of the last step.
        name, curve, metrics = f"{name}@{step}", None, {}
        flat["step"] = step
        overrides = None if overrides is None else {**overrides, "step": str(step)}
    for evaluation in scores:
        metrics |= _scores(evaluation)
    used = list({a.key: a for a in [subject, *scores]}.values())
    return Run(
        name=name,
        overrides=overrides,
        config=flat,
        metrics=metrics,
        curve=curve if curve is not None and curve.is_file() else None,
        inputs=[Input("runs", a.kind, a.name, a.key, a.path) for a in used],
    )


def _checkpoint_of(artifact: Artifact) -> tuple[Artifact, int | None] | None:
    """The finished checkpoint that an evaluation scored, and its step."""
    if artifact.kind != "evaluation":
        return None
    for each in artifact.inputs:
        parent = open_artifact(each.path) if each.kind == "checkpoint" else None
        if parent is not None and parent.key == each.key:
            return parent, each.step
    return None


def _last_step(artifact: Artifact) -> int | None:
    step = artifact.figures.get("steps", artifact.figures.get("step"))
    return None if step is None else int(step)


def _scores(evaluation: Artifact) -> dict[str, float]:
    """The scores under ``SUITE`` and, where there are several tasks, ``SUITE/TASK``.

    A part of a suite has its score as ``SUITE/PART`` too. ``SUITE/macro`` is the mean over these
    tasks, each counting alike.
    """
    figures = evaluation.figures
    suite = str(figures.get("suite", "score"))
    scores = {suite: float(figures["score"])} if figures.get("score") is not None else {}
    tasks = {k: v for k, v in (figures.get("tasks") or {}).items() if k != "all"}
    found = {name: t["score"] for name, t in tasks.items() if t["score"] is not None}
    if len(tasks) > 1 or "parts" in figures:
        scores |= {f"{suite}/{name}": float(score) for name, score in found.items()}
    parts = (figures.get("parts") or {}).items()
    scores |= {f"{suite}/{k}": float(p["score"]) for k, p in parts if p["score"] is not None}
    # Of tasks with metrics of their own a mean says something only where the suite takes one.
    if len(tasks) > 1 and "parts" not in figures:
        scores[f"{suite}/{MACRO}"] = fmean(float(score) for score in found.values())
    return scores


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _overrides(job: Path) -> dict[str, str] | None:
    if not job.is_file():
        return None
    pairs = (o.partition("=") for o in json.loads(job.read_text())["overrides"])
    settings = {key.lstrip("+~"): value for key, _, value in pairs}
    return {k: v for k, v in settings.items() if k.partition(".")[0] not in _NOT_SETTINGS}
