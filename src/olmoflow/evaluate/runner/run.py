"""Tasks one after the other, each whole on disk before the next; none is done twice."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.answers import Answered, Answerer, cost
from olmoflow.evaluate.runner.outputs import METRICS, read_answered, read_summary, write_task
from olmoflow.evaluate.runner.summary import TaskSummary, failed, hash_of, summarise
from olmoflow.evaluate.tasks.task import InstanceScore, Task

Progress = Callable[[int, int], None]
_CRASHED = "crashed: "


@dataclass(frozen=True)
class Plan:
    """What is evaluated and where it is written.

    Attributes:
        tasks: In their order.
        folder: Gets a folder a task.
        key: Of the evaluation; files of another one are no results of this.
        limit: Instances of each task, at most.
        about: What every task's ``metrics.json`` says of the model.
    """

    tasks: Sequence[Task]
    folder: Path
    key: str
    limit: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def folder_of(self, number: int) -> Path:
        """Where a task's files go."""
        return self.folder / f"{number:03d}-{file_name(self.tasks[number].name)}"


def file_name(task: str) -> str:
    """A task's name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", task)


def run_tasks(
    plan: Plan, answerer: Answerer, progress: Progress | None = None
) -> dict[str, TaskSummary]:
    """Evaluate tasks, those that are done already left as they are.

    A task that crashes is reported as such, and the others go on; the same call tries it again.

    Args:
        plan: What to do.
        answerer: What answers.
        progress: Called with (done, total) in characters of requests.

    Returns:
        Summaries by task, in the plan's order.

    Raises:
        UserError: A task's data are absent, before anything is computed; or the engine fails.
    """
    done = finished_tasks(plan)
    waiting = {
        number: list(task.instances(plan.limit))
        for number, task in enumerate(plan.tasks)
        if task.name not in done
    }
    meter = _Meter(
        sum(cost(r) for instances in waiting.values() for i in instances for r in i.requests),
        progress,
    )
    for number, instances in waiting.items():
        name = plan.tasks[number].name
        answer = partial(answerer.answer, name, instances, meter.advance)
        done[name] = _run_task(plan, number, answer)
    return {task.name: done[task.name] for task in plan.tasks}


def rescore_tasks(plan: Plan, source: Path) -> dict[str, TaskSummary]:
    """Score tasks again from the answers that an evaluation has stored; no model takes part.

    Args:
        plan: What to score, where it goes.
        source: The ``tasks`` folder of the evaluation.

    Raises:
        UserError: The evaluation lacks a task, or asked it something else.
    """
    stored = {
        read_summary(path.parent)[0].name: path.parent for path in source.glob(f"*/{METRICS}")
    }
    done = {}
    for number, task in enumerate(plan.tasks):
        if task.name not in stored:
            known = ", ".join(sorted(stored))
            raise UserError(f"recompute: {task.name} has no stored answers; there are {known}")
        folder, instances = stored[task.name], list(task.instances(plan.limit))
        done[task.name] = _run_task(plan, number, partial(read_answered, folder, instances))
    return done


def finished_tasks(plan: Plan) -> dict[str, TaskSummary]:
    """The tasks that an earlier attempt has finished; whatever else stands there is removed."""
    expected = {plan.folder_of(number): task for number, task in enumerate(plan.tasks)}
    done = {}
    for path in sorted(plan.folder.iterdir()) if plan.folder.is_dir() else ():
        task = expected.get(path)
        if task is not None and (path / METRICS).is_file():
            summary, file = read_summary(path)
            same = (summary.name, summary.task_hash) == (task.name, hash_of(task.config))
            if same and file["evaluation"] == plan.key and not crashed(summary):
                done[task.name] = summary
                continue
        shutil.rmtree(path)
    return done


def crashed(summary: TaskSummary) -> bool:
    """Whether a task has no score because something broke, rather than by its nature."""
    return summary.error is not None and summary.error.startswith(_CRASHED)


def _run_task(plan: Plan, number: int, answer: Callable[[], list[Answered]]) -> TaskSummary:
    task, started = plan.tasks[number], time.monotonic()
    rows: list[tuple[Answered, InstanceScore | None]] = []
    try:
        answered = answer()
        scores = score_answered(task, answered)
        summary = summarise(task, answered, scores)
        rows = list(zip(answered, scores, strict=True))
    except UserError:
        raise
    except Exception as error:  # the other tasks are worth having
        text = str(error).strip().partition("\n")[0]
        summary = failed(task, f"{_CRASHED}{type(error).__name__}: {text}")
    about = {
        "model_hash": None,
        **plan.about,
        "evaluation": plan.key,
        "limit": plan.limit,
        "processing_time": round(time.monotonic() - started, 3),
    }
    write_task(plan.folder_of(number), task, summary, rows, about)
    return summary


def score_answered(task: Task, answered: Sequence[Answered]) -> list[InstanceScore | None]:
    """The scores of instances; None of those that could not be asked."""
    asked = [(a.instance, a.responses) for a in answered if a.responses is not None]
    scores = iter(task.score(asked) if asked else ())
    return [None if a.responses is None else next(scores) for a in answered]


class _Meter:
    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress, self.done = total, progress, 0

    def advance(self, done: int) -> None:
        self.done += done
        if self.progress:
            self.progress(self.done, self.total)
