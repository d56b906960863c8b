"""What is said of a task: means over its instances, their standard errors, counts of outcomes."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from olmoflow.evaluate.runner.answers import NOT_A_NUMBER, Answered
from olmoflow.evaluate.tasks.task import GenerateResponse, InstanceScore, Task

TOO_LONG, NO_NUMBER, TRUNCATED, UNFINISHED = "too_long", "no_number", "truncated", "unfinished"


@dataclass(frozen=True)
class TaskSummary:
    """A task's result.

    Attributes:
        name: Of the task, with its settings.
        task_hash: Of its config.
        primary_metric: The metric that stands for it.
        higher_is_better: Of that metric.
        score: Its mean over the instances that were answered; None: there is none, see `error`.
        stderr: Standard error of `score`; None where it is not defined.
        n: Instances behind `score`.
        metrics: Mean of every metric.
        stderrs: Their standard errors, where defined.
        outcomes: How often verifiers said ``scored``, ``no_answer``, ``timeout`` and ``error``
            (without a verifier every instance is scored); further ``too_long``, instances that do
            not fit the model and have no part in the score; ``no_number``, likewise instances to
            which it says NaN; ``truncated``, instances whose context lost its beginning;
            ``unfinished``, samples that reached the limit of tokens.
        error: Why there is no score, in one line.
    """

    name: str
    task_hash: str
    primary_metric: str
    higher_is_better: bool
    score: float | None
    stderr: float | None
    n: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    stderrs: Mapping[str, float] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None


def hash_of(config: Mapping[str, Any]) -> str:
    """Identifies a config of plain values: 16 hexadecimal digits."""
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def failed(
    name: str, task: Task, error: str, outcomes: Mapping[str, int] | None = None
) -> TaskSummary:
    """The summary of a task that has no score."""
    return TaskSummary(
        name=name,
        task_hash=hash_of(task.config),
        primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better,
        score=None,
        stderr=None,
        n=0,
        outcomes=outcomes or {},
        error=error,
    )


def summarise(
    name: str, task: Task, answered: Sequence[Answered], scores: Sequence[InstanceScore | None]
) -> TaskSummary:
    """Summarise a task.

    Args:
        name: What it is called among the others.
        task: The task.
        answered: All of its instances.
        scores: Of each; None where it was not answered.
    """
    outcomes = _outcomes(answered, scores)
    found = [score for score in scores if score is not None]
    if not found:
        reasons = Counter(a.error for a in answered if a.error)
        why = reasons.most_common(1)[0][0] if reasons else "it has no instances"
        return failed(name, task, f"no instance was answered: {why}" if reasons else why, outcomes)
    if unjudged := _none_judged(outcomes):
        return failed(name, task, unjudged, outcomes)
    metrics, stderrs = {}, {}
    for metric in found[0].metrics:
        values = [score.metrics[metric] for score in found if metric in score.metrics]
        metrics[metric] = math.fsum(values) / len(values)
        if (stderr := standard_error(values)) is not None:
            stderrs[metric] = stderr
    return TaskSummary(
        name=name,
        task_hash=hash_of(task.config),
        primary_metric=task.primary_metric,
        higher_is_better=task.higher_is_better,
        score=metrics[task.primary_metric],
        stderr=stderrs.get(task.primary_metric),
        n=len(found),
        metrics=metrics,
        stderrs=stderrs,
        outcomes=outcomes,
    )


def _none_judged(outcomes: Mapping[str, int]) -> str | None:
    """Why the zeros of a verifier that could tell nothing of any answer are no score."""
    unknown = [f"{outcomes[name]:,} {name}" for name in ("timeout", "error") if outcomes.get(name)]
    if not unknown or outcomes.get("scored") or outcomes.get("no_answer"):
        return None
    return f"the verifier could not judge any answer: {', '.join(unknown)}"


def standard_error(values: Sequence[float]) -> float | None:
    """Standard error of a mean by the central limit theorem (Miller, arXiv 2411.00640, 2.1).

    A value is one question's mean over its samples, so that samples of one question, which are not
    independent, count as one cluster. None for fewer than two values.
    """
    n = len(values)
    if n < 2:
        return None
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)


def _outcomes(
    answered: Sequence[Answered], scores: Sequence[InstanceScore | None]
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for each, score in zip(answered, scores, strict=True):
        if score is None or each.responses is None:
            counts[NO_NUMBER if each.error == NOT_A_NUMBER else TOO_LONG] += 1
            continue
        counts.update(score.outcomes or {"scored": 1})
        counts[TRUNCATED] += any(r.truncated for r in each.responses)
        for response in each.responses:
            if isinstance(response, GenerateResponse):
                counts[UNFINISHED] += sum(not stopped for stopped in response.stopped)
    return {name: number for name, number in counts.items() if number}
