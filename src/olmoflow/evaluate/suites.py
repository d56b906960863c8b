"""Suites: trees of tasks whose scores are aggregated, however deep they are nested.

A suite is plain config (``conf/suite``): ``name``, ``aggregate`` and ``children``, which maps a
name to a task, to a group of tasks, or to a suite again::

    aggregate: macro
    children:
      arc: arc:bpb                          # a group: a suite of its own, its tasks' mean
      csqa: csqa:bpb                        # a task
      gsm8k: {task: gsm8k:gen, samples: 8}  # a task with settings of its own
      math: {aggregate: macro, children: {…}}
      old: null                             # taken out

A score that lacks a part is no score: it is None, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

from olmoflow.errors import UserError
from olmoflow.evaluate.metrics.aggregate import AGGREGATES, Estimate
from olmoflow.evaluate.tasks.groups import group_names, members
from olmoflow.evaluate.tasks.registry import find_task, list_tasks, near
from olmoflow.evaluate.tasks.task import Task

_KEYS = ("name", "aggregate", "children", "limit")


class Scored(Protocol):
    """What came of one task: `error` says why there is no `score`."""

    @property
    def score(self) -> float | None:
        """The primary metric's mean."""
        ...

    @property
    def stderr(self) -> float | None:
        """Its standard error, where it is defined."""
        ...

    @property
    def n(self) -> int:
        """Questions behind the score."""
        ...

    @property
    def error(self) -> str | None:
        """Why there is no score."""
        ...


@dataclass(frozen=True)
class Leaf:
    """One task of a suite.

    Attributes:
        key: Names it among the suite's: the task's name, and its settings where it has some.
        task: The task.
        limit: At most so many questions.
        name: What its suite calls it.
    """

    key: str
    task: Task
    limit: int | None = None
    name: str = ""

    @property
    def higher_is_better(self) -> bool:
        """Of the task's score."""
        return self.task.higher_is_better

    def leaves(self) -> Iterator[Leaf]:
        """Itself."""
        yield self


@dataclass(frozen=True)
class SuiteScore:
    """The score of a suite or of a task in it.

    Attributes:
        name: What its suite calls it.
        aggregate: How it was made of its children's scores; None: it is a task.
        score: None: there is none; `reason` says why.
        stderr: Of the score, the tasks taken as independent; None where it is not defined.
        n: Questions behind the score.
        higher_is_better: None where the suite has no score of its own.
        reason: Why there is no score.
        task: Key of the task whose score it is; None: it is a suite's.
        chosen: With ``best_format``, the child that was taken.
        children: By name.
    """

    name: str
    aggregate: str | None
    score: float | None
    stderr: float | None
    n: int
    higher_is_better: bool | None
    reason: str | None = None
    task: str | None = None
    chosen: str | None = None
    children: Mapping[str, SuiteScore] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As plain values, children within; what does not apply is left out."""
        optional = {
            "aggregate": self.aggregate,
            "task": self.task,
            "chosen": self.chosen,
            "reason": self.reason,
        }
        return {
            "score": self.score,
            "stderr": self.stderr,
            "n": self.n,
            "higher_is_better": self.higher_is_better,
            **{key: value for key, value in optional.items() if value is not None},
            **(
                {"children": {k: c.as_dict() for k, c in self.children.items()}}
                if self.children
                else {}
            ),
        }


@dataclass(frozen=True)
class Suite:
    """A suite, or a part of one.

    Attributes:
        name: What it is called.
        aggregate: One of `metrics.aggregate.AGGREGATES`, or ``none``: it has no score of its own.
        children: Suites and tasks, by name.
    """

    name: str
    aggregate: str
    children: Mapping[str, Suite | Leaf]

    @property
    def higher_is_better(self) -> bool | None:
        """Of its score; None: it has none of its own."""
        if self.aggregate == "none":
            return None
        return next(iter(self.children.values())).higher_is_better

    def leaves(self) -> Iterator[Leaf]:
        """Its tasks, in their order; one that stands in several places comes several times."""
        for child in self.children.values():
            yield from child.leaves()

    def tasks(self) -> dict[str, Leaf]:
        """Its tasks by key, each once."""
        return {leaf.key: leaf for leaf in self.leaves()}

    def score(self, scores: Mapping[str, Scored]) -> SuiteScore:
        """Aggregate.

        Args:
            scores: By the leaves' keys. One that is missing counts as having no score.
        """
        children = {name: _score(child, scores) for name, child in self.children.items()}
        better = self.higher_is_better
        parts = {
            name: Estimate(part.score, part.stderr, part.n, bool(better))
            for name, part in children.items()
            if part.score is not None
        }
        if self.aggregate == "none" or len(parts) < len(children):
            reason = None if self.aggregate == "none" else _missing(children)
            n = sum(part.n for part in children.values())
            return SuiteScore(
                self.name, self.aggregate, None, None, n, better, reason, children=children
            )
        made = AGGREGATES[self.aggregate](list(parts.values()))
        chosen = next((name for name, part in parts.items() if part is made), None)
        return SuiteScore(
            self.name,
            self.aggregate,
            made.score,
            made.stderr,
            made.n,
            better,
            chosen=chosen,
            children=children,
        )


def _score(child: Suite | Leaf, scores: Mapping[str, Scored]) -> SuiteScore:
    if isinstance(child, Suite):
        return child.score(scores)
    found, better = scores.get(child.key), child.higher_is_better
    if found is None:
        return SuiteScore(
            child.name, None, None, None, 0, better, "it was not evaluated", task=child.key
        )
    reason = (found.error or "no score") if found.score is None else None
    return SuiteScore(
        child.name, None, found.score, found.stderr, found.n, better, reason, task=child.key
    )


def _missing(children: Mapping[str, SuiteScore]) -> str:
    missing = [f"{name} ({part.reason})" for name, part in children.items() if part.score is None]
    shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    return f"{len(missing)} of {len(children)} have no score: {shown}"


def build_suite(config: Mapping[str, Any], key: str = "suite") -> Suite:
    """The suite that a config describes; nothing is read yet.

    Args:
        config: The config.
        key: Where it stands, for messages.

    Raises:
        UserError: A task, a setting or a way to aggregate is unknown; the message names near ones.
            Or there is nothing to evaluate, or a mean of things that have none.
    """
    suite = _build_node(str(config.get("name") or key), config, key, None)
    limits: dict[str, int | None] = {}
    for leaf in suite.leaves():
        if limits.setdefault(leaf.key, leaf.limit) != leaf.limit:
            raise UserError(f"{key}: {leaf.key} stands in it with different limits; expected one")
    return suite


def suite_of_tasks(names: Sequence[str], limit: int | None = None, key: str = "tasks") -> Suite:
    """A suite of single tasks and groups, with no score of its own (``tasks=[…]``).

    Args:
        names: Of the tasks and groups.
        limit: Questions of each, at most.
        key: Where the names stand in the config, for messages.

    Raises:
        UserError: A name is unknown, or there is none.
    """
    if not names:
        raise UserError(f"{key}=[]: expected at least one task")
    known = list_tasks()
    for name in names:
        if name not in known and not _is_group(name, known):
            hint = near(name, [*group_names(known), *known])
            raise UserError(f"{key}=[{name}]: no task {name}; {hint}")
    children = {name: name for name in names}
    return build_suite(
        {"name": "tasks", "aggregate": "none", "limit": limit, "children": children}, key
    )


def _build_node(name: str, config: Mapping[str, Any], key: str, limit: int | None) -> Suite:
    for unknown in config.keys() - set(_KEYS):
        close = get_close_matches(unknown, _KEYS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(_KEYS)}"
        raise UserError(f"{key}.{unknown}: a suite has no such key; {hint}")
    aggregate = config.get("aggregate", "macro")
    if aggregate not in (*AGGREGATES, "none"):
        known = ", ".join((*AGGREGATES, "none"))
        raise UserError(f"{key}.aggregate={aggregate}: expected one of {known}")
    limit = _lower(limit, config, key)
    given = config.get("children") or {}
    if not isinstance(given, Mapping):
        raise UserError(f"{key}.children={given}: expected names and what they stand for")
    children = {
        str(child): _build_child(str(child), node, f"{key}.children.{child}", limit)
        for child, node in given.items()
        if node is not None
    }
    if not children:
        raise UserError(f"{key}.children: empty; expected at least one task")
    suite = Suite(name, str(aggregate), children)
    _check_directions(suite, key)
    return suite


def _build_child(name: str, node: Any, key: str, limit: int | None) -> Suite | Leaf:
    if isinstance(node, str):
        node = {"task": node}
    if not isinstance(node, Mapping):
        raise UserError(f"{key}={node}: expected a task's name, a task with settings, or a suite")
    if "task" not in node:
        return _build_node(name, node, key, limit)
    task = str(node["task"])
    if _is_group(task, list_tasks()):
        return _build_group(name, members(task) or (), node, key, limit)
    return _build_leaf(name, task, node, key, limit)


def _is_group(name: str, known: Sequence[str]) -> bool:
    """Whether a name stands for several tasks, all of which there are."""
    group = members(name)
    return group is not None and set(group) <= set(known)


def _build_group(
    name: str, group: Sequence[str], node: Mapping[str, Any], key: str, limit: int | None
) -> Suite:
    """A suite of its own, whose tasks have the settings that are given."""
    each = {task: {**_settings(node), "task": task} for task in group}
    made = {"aggregate": node.get("aggregate", "macro"), "children": each}
    return _build_node(name, made, key, _lower(limit, node, key))


def _build_leaf(name: str, task: str, node: Mapping[str, Any], key: str, limit: int | None) -> Leaf:
    known = list_tasks()
    if task not in known:
        raise UserError(f"{key}: no task {task}; {near(task, [*group_names(known), *known])}")
    if "aggregate" in node:
        raise UserError(f"{key}.aggregate: {task} is a single task; expected no aggregate")
    settings = _settings(node)
    shown = ", ".join(f"{k}={v}" for k, v in sorted(settings.items()))
    leaf_key = f"{task}({shown})" if shown else task
    return Leaf(leaf_key, find_task(task, **settings), _lower(limit, node, key), name)


def _settings(node: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in node.items() if k not in ("task", "limit", "aggregate")}


def _lower(limit: int | None, node: Mapping[str, Any], key: str) -> int | None:
    """The lower one of the limit from above and a node's own."""
    own = node.get("limit")
    if own is None:
        return limit
    if type(own) is not int or own < 1:
        raise UserError(f"{key}.limit={own}: expected a number of questions, at least 1")
    return own if limit is None else min(own, limit)


def _check_directions(suite: Suite, key: str) -> None:
    if suite.aggregate == "none":
        return
    ways = {name: child.higher_is_better for name, child in suite.children.items()}
    if None in ways.values():
        name = next(name for name, way in ways.items() if way is None)
        raise UserError(
            f"{key}.aggregate={suite.aggregate}: {name} has no score of its own; expected none"
        )
    if len(set(ways.values())) > 1:
        ups = next(name for name, way in ways.items() if way)
        downs = next(name for name, way in ways.items() if not way)
        raise UserError(
            f"{key}.aggregate={suite.aggregate}: of {ups} more is better, of {downs} less; "
            "expected none, or suites of one kind"
        )
