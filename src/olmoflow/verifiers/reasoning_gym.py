"""Answers to procedural puzzles, scored by reasoning-gym itself.

A reference is an entry as reasoning-gym makes it: a mapping whose ``metadata`` has
``source_dataset``, with the numbers and seeds that the task's scorer needs. Many scorers give
partial credit. Some evaluate what the model wrote as Python (`eval`, or SymPy's parser, which does
the same), so all run in confined workers of a `JudgePool`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.verifiers import extraction
from olmoflow.verifiers.pool import JudgePool
from olmoflow.verifiers.sandbox.isolation import choose
from olmoflow.verifiers.verdict import Answer, Verdict


class ReasoningGymVerifier:
    """reasoning-gym's score of an answer, from 0 to 1.

    Args:
        extract: Rules of `extraction` in the order in which they are tried; ``answer_tag`` first,
            which is how reasoning-gym asks for answers.
        deadline: Seconds for one answer.
        memory_mb: For one answer.
        workers: Processes; all cores if not given.
        sandbox: ``auto`` confines the workers and refuses where that cannot be (it takes Landlock);
            ``none`` lets answers be evaluated with the rights of this user.
    """

    def __init__(
        self,
        extract: Sequence[str] = ("answer_tag", "boxed", "answer_line", "whole"),
        deadline: float = 10.0,
        memory_mb: int = 1000,
        workers: int | None = None,
        sandbox: str = "auto",
    ) -> None:
        isolation = choose("landlock" if sandbox == "auto" else sandbox)
        if isolation == "namespaces":
            raise UserError("sandbox: found namespaces, expected auto, landlock or none")
        self._rules = extraction.rules(extract)
        self._pool = JudgePool(
            judge_entry,
            warm=warm,
            workers=workers or usable_cores(),
            deadline=deadline,
            memory_mb=memory_mb,
            confined=isolation == "landlock",
            preload="olmoflow.verifiers.reasoning_gym_preload",
        )

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer."""
        entries = [entry(answer.reference) for answer in answers]
        found = [
            extraction.extract(extraction.without_thinking(answer.text), self._rules)
            for answer in answers
        ]
        return self._pool.judge(
            [Answer(text or "", one) for text, one in zip(found, entries, strict=True)]
        )

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()


def entry(reference: Any) -> Mapping[str, Any]:
    """The entry, if it is one.

    Raises:
        UserError: It names no task.
    """
    metadata = reference.get("metadata") if isinstance(reference, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("source_dataset"), str):
        raise UserError(
            f"reference: found {reference!r:.80}, expected an entry of reasoning-gym, whose "
            "metadata has source_dataset"
        )
    return dict(reference)


def judge_entry(found: str, entry: Mapping[str, Any]) -> Verdict:
    """In a worker: score by the task's own function."""
    if not found:
        return Verdict(0.0, "no_answer", detail="no answer found in the text")
    score = float(scorer(entry["metadata"]["source_dataset"])(found, dict(entry)))
    return Verdict(min(1.0, max(0.0, score)), extracted=found)


@functools.cache
def scorer(task: str) -> Any:
    """The task's function of an answer and an entry."""
    from reasoning_gym import get_score_answer_fn

    return get_score_answer_fn(task)


def warm() -> None:
    """Import the tasks, so that the first answer waits for nothing."""
    import reasoning_gym  # noqa: F401
    import sympy  # noqa: F401
