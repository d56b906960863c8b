"""The turns of conversations as steps read them, and which of them a step looks at.

============= ==========================================================================
``all``       every turn; of a preference what both sides share, chosen's end, rejected's
``assistant`` all turns of the assistant
``last``      the last turn of the assistant; of a preference both, chosen first
``chosen``    the last turn of the chosen side
``rejected``  the last turn of the rejected side
``prompt``    all turns before the last of the assistant
``user``      all turns of the user
``system``    all turns of the system
============= ==========================================================================
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa

from olmoflow.curate.conversations.row import (
    CHOSEN,
    MESSAGES,
    REJECTED,
    Turn,
    said_in,
    shared,
    united,
)
from olmoflow.curate.operations.arguments import require_choice
from olmoflow.curate.schema import TURNS

WHICH = ("all", "assistant", "last", "chosen", "rejected", "prompt", "user", "system")
NO_TURNS = "no messages, chosen or rejected: this is no conversation"

Sides = dict[str, list[Turn]]


def check_which(step: str, which: str) -> None:
    """Demand a choice of turns.

    Raises:
        UserError: It is none of `WHICH`.
    """
    require_choice(step, "turns", which, WHICH)


def sides_of(documents: pa.Table) -> list[Sides]:
    """[documents], the turns by column of `schema.TURNS`; nothing of what is no conversation."""
    names = [name for name in TURNS if name in documents.column_names]
    rows = documents.select(names).to_pylist() if names else [{}] * len(documents)
    return [{name: json.loads(text) for name, text in row.items() if text} for row in rows]


def without_turns(sides: Sequence[Sides]) -> dict[int, str]:
    """By row, that a document is no conversation: the errors of an outcome."""
    return {row: NO_TURNS for row, each in enumerate(sides) if not each}


def chosen_turns(sides: Sides, which: str) -> list[Turn]:
    """The turns of one conversation that a choice of `WHICH` stands for."""
    if MESSAGES in sides:
        prompt, ends = _cut(sides[MESSAGES])
        every = sides[MESSAGES]
        ends = [] if which in ("chosen", "rejected") else ends
    elif sides:
        chosen, rejected = sides[CHOSEN], sides[REJECTED]
        every = united(chosen, rejected)
        prompt = chosen[: shared(chosen, rejected)]
        ends = {"chosen": chosen[-1:], "rejected": rejected[-1:]}.get(
            which, [*chosen[-1:], *rejected[-1:]]
        )
    else:
        return []
    if which == "prompt":
        return prompt
    if which in ("last", "chosen", "rejected"):
        return ends
    return every if which == "all" else [turn for turn in every if turn["role"] == which]


def texts_of(documents: pa.Table, which: str) -> list[str]:
    """[documents], what the chosen turns say; a document without turns is its text."""
    texts = documents.column("text").to_pylist()
    return [
        said_in(chosen_turns(each, which)) if each else text or ""
        for each, text in zip(sides_of(documents), texts, strict=True)
    ]


def _cut(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    """What comes before the assistant's last turn, and that turn."""
    places = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    return (turns[: places[-1]], [turns[places[-1]]]) if places else (turns, [])
