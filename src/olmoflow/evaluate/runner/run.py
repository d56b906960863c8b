"""Tasks one after the other, each whole on disk before the next; none is done twice."""

from __future__ import annotations

import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError
from olmoflow.evaluate.runner.answers import Answered, Answerer, cost
from olmoflow.evaluate.runner.chat import render_chat
from olmoflow.evaluate.runner.encoding import count_tokens
from olmoflow.evaluate.runner.outputs import METRICS, read_answered, read_summary, write_task
from olmoflow.evaluate.runner.summary import TaskSummary, failed, hash_of, summarise
from olmoflow.evaluate.suites import Leaf
from olmoflow.evaluate.tasks.task import (
    GenerateRequest,
    Instance,
    InstanceScore,
    Task,
    TokenizedTask,
)
from olmoflow.tokens.tokenizer import Tokenizer

Progress = Callable[[int, int], None]
_CRASHED = "crashed: "


@dataclass(frozen=True)
class Plan:
    """What is evaluated and where it is written.

    Attributes:
        leaves: Tasks with their limits; see `bind`.
        folder: Gets a folder a task.
        key: Of the evaluation; files of another one are no results of this.
        about: What every task's ``metrics.json`` says of the model.
    """

    leaves: Sequence[Leaf]
    folder: Path
    key: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def folder_of(self, number: int) -> Path:
        """Where a task's files go."""
        return self.folder / f"{number:03d}-{file_name(self.leaves[number].key)}"


def file_name(task: str) -> str:
    """A task's name as part of a file's."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", task).strip("-")


def bind(leaves: Iterable[Leaf], tokenizer: Tokenizer, limit: int | None) -> list[Leaf]:
    """The tasks as they are for a model.

    Args:
        leaves: Of a suite.
        tokenizer: The model's; some tasks' questions depend on it.
        limit: Questions of each task in place of the suite's own limit; None: the suite's.
    """
    name = hash_of({"tokenizer": tokenizer.backend.to_str()})
    count = partial(count_tokens, tokenizer)
    bound = []
    for leaf in leaves:
        task = leaf.task
        if isinstance(task, TokenizedTask):
            task = task.with_tokenizer(count, name)
        bound.append(replace(leaf, task=task, limit=leaf.limit if limit is None else limit))
    return bound


def run_tasks(
    plan: Plan, open_answerer: Callable[[], Answerer], progress: Progress | None = None
) -> dict[str, TaskSummary]:
    """Evaluate tasks, those that are done already left as they are.

    A task that crashes is reported as such, and the others go on; the same call tries it again.

    Args:
        plan: What to do.
        open_answerer: Makes what answers, if there is anything to be asked.
        progress: Called with (done, total) in characters of requests.

    Returns:
        Summaries by the leaves' keys, in the plan's order.

    Raises:
        UserError: A task's data are absent, before anything is computed; or the engine fails.
    """
    done = finished_tasks(plan)
    waiting = [n for n, leaf in enumerate(plan.leaves) if leaf.key not in done]
    if waiting:
        answerer = open_answerer()
        _run_waiting(plan, waiting, answerer, done, progress)
    return {leaf.key: done[leaf.key] for leaf in plan.leaves}


def rescore_tasks(plan: Plan, source: Path) -> dict[str, TaskSummary]:
    """Score tasks again from the answers that an evaluation has stored; no model takes part.

    Args:
        plan: What to score, where it goes.
        source: The ``tasks`` folder of the evaluation.

    Raises:
        UserError: The evaluation lacks a task, or asked it something else.
    """
    stored = {}
    for path in source.glob(f"*/{METRICS}"):
        summary, file = read_summary(path.parent)
        stored[summary.name] = path.parent, None if file["num_instances"] else summary.error
    done = {}
    for number, leaf in enumerate(plan.leaves):
        if leaf.key not in stored:
            known = ", ".join(sorted(stored)) or "none"
            raise UserError(f"recompute: {leaf.key} has no stored answers; there are: {known}")
        folder, error = stored[leaf.key]
        instances = [] if error else list(leaf.task.instances(leaf.limit))
        done[leaf.key] = _run_task(plan, number, partial(read_answered, folder, instances), error)
    return done


def finished_tasks(plan: Plan) -> dict[str, TaskSummary]:
    """The tasks that an earlier attempt has finished; whatever else stands there is removed."""
    expected = {plan.folder_of(number): leaf for number, leaf in enumerate(plan.leaves)}
    done = {}
    for path in sorted(plan.folder.iterdir()) if plan.folder.is_dir() else ():
        leaf = expected.get(path)
        if leaf is not None and (path / METRICS).is_file():
            summary, file = read_summary(path)
            same = (summary.name, summary.task_hash) == (leaf.key, hash_of(leaf.task.config))
            if same and file["evaluation"] == plan.key and not crashed(summary):
                done[leaf.key] = summary
                continue
        shutil.rmtree(path)
    return done


def crashed(summary: TaskSummary) -> bool:
    """Whether a task has no score because something broke, rather than by its nature."""
    return summary.error is not None and summary.error.startswith(_CRASHED)


def _run_waiting(
    plan: Plan,
    waiting: Sequence[int],
    answerer: Answerer,
    done: dict[str, TaskSummary],
    progress: Progress | None,
) -> None:
    """Run the tasks of these numbers; all questions are there before the first is asked."""
    leaves = {number: plan.leaves[number] for number in waiting}
    too_short = {n: _too_short(leaf.task, answerer.engine.max_length) for n, leaf in leaves.items()}
    instances = {
        n: [] if too_short[n] else list(leaf.task.instances(leaf.limit))
        for n, leaf in leaves.items()
    }
    if any(_in_chat(each) for each in instances.values()):
        render_chat(answerer.tokenizer, "")  # a model without a template is told of here
    total = sum(cost(r) for each in instances.values() for i in each for r in i.requests)
    meter = _Meter(total, progress)
    for number, leaf in leaves.items():
        answer = partial(answerer.answer, leaf.key, instances.pop(number), meter.advance)
        done[leaf.key] = _run_task(plan, number, answer, too_short[number])


def _run_task(
    plan: Plan, number: int, answer: Callable[[], list[Answered]], not_asked: str | None = None
) -> TaskSummary:
    """Score a task and write its files; `not_asked` says why its questions were not asked."""
    leaf, started = plan.leaves[number], time.monotonic()
    rows: list[tuple[Answered, InstanceScore | None]] = []
    try:
        if not_asked:
            summary = failed(leaf.key, leaf.task, not_asked)
        else:
            answered = answer()
            scores = score_answered(leaf.task, answered)
            summary = summarise(leaf.key, leaf.task, answered, scores)
            rows = list(zip(answered, scores, strict=True))
    except UserError:
        raise
    except Exception as error:  # the other tasks are worth having
        if os.environ.get("OLMOFLOW_DEBUG") == "1":
            traceback.print_exception(error)
        text = str(error).strip().partition("\n")[0]
        summary = failed(leaf.key, leaf.task, f"{_CRASHED}{type(error).__name__}: {text}")
    about = {
        "model_hash": None,
        **plan.about,
        "evaluation": plan.key,
        "limit": leaf.limit,
        "processing_time": round(time.monotonic() - started, 3),
    }
    write_task(plan.folder_of(number), leaf.task, summary, rows, about)
    return summary


def _in_chat(instances: Sequence[Instance]) -> bool:
    """Whether a task asks in chat format; if one question does, all do."""
    asked = (request for each in instances[:1] for request in each.requests)
    return any(isinstance(request, GenerateRequest) and request.chat for request in asked)


def _too_short(task: Task, max_length: int) -> str | None:
    """Why a model cannot do a task of one length, whose needles a cut would take away."""
    length = task.config.get("length") if task.config.get("data") == "ruler" else None
    if length is None or length <= max_length:
        return None
    return f"the model takes {max_length} tokens, the task has {length}"


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
