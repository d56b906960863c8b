"""Puzzles of reasoning-gym: made on the spot from a seed, and how a model is asked for the answer.

A puzzle is a function of name, settings, seed, number and reasoning-gym's version. Number i of seed
s is made from the random state s + i, so it is called puzzle s + i here: neighbouring seeds share
nearly all of their puzzles, and two stretches of numbers that do not overlap share none but by
chance. Chance is not small where a kind has few puzzles; who needs them apart compares the
questions, with `question_key`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from olmoflow.errors import UserError

PACKAGE = "reasoning-gym"
Puzzle = Mapping[str, Any]


@dataclass(frozen=True)
class AnswerForm:
    """How an answer is asked for and given.

    Attributes:
        prompt: What is said to the model, with the blank ``{question}``.
        reply: What it is to say, with the blank ``{answer}``.
        extract: Where a verifier looks for the answer (rules of `verifiers.extraction`).
    """

    prompt: str
    reply: str
    extract: tuple[str, ...]


FORMS = {
    # The answer at the end of a chat model's reasoning.
    "reasoned": AnswerForm(
        "{question}\n\nThink step by step. Put your final answer between <answer> and </answer>.",
        "<answer>{answer}</answer>",
        ("answer_tag", "boxed", "answer_line"),
    ),
    # The question as it stands, and nothing but the answer: for models of a few million parameters.
    "plain": AnswerForm("{question}", "{answer}", ("whole",)),
}


def find_form(name: str, key: str) -> AnswerForm:
    """A form by its name.

    Args:
        name: One of `FORMS`.
        key: Where it stands in the config.

    Raises:
        UserError: There is none such.
    """
    if name not in FORMS:
        raise UserError(f"{key}={name}: expected one of {', '.join(FORMS)}")
    return FORMS[name]


def make_puzzles(
    name: str,
    size: int,
    seed: int,
    settings: Mapping[str, Any] | None = None,
    places: Sequence[int] | None = None,
) -> Iterator[Puzzle]:
    """So many puzzles of one kind, from number ``seed`` on.

    Args:
        name: reasoning-gym's.
        size: How many.
        seed: Number of the first.
        settings: Of this kind, by reasoning-gym's names.
        places: Of these, counted from 0, only those that are asked for, each below `size`; None:
            all. A puzzle does not depend on which others are made.

    Raises:
        UserError: reasoning-gym is not installed, or has no such kind or setting.
    """
    if size == 0:
        return
    try:
        from reasoning_gym import create_dataset
    except ImportError:
        raise UserError(
            f"{PACKAGE} is not installed; expected `pip install 'olmoflow[evaluate]'`"
        ) from None
    try:
        made = create_dataset(name, size=size, seed=seed, **(settings or {}))
    except (TypeError, ValueError, AssertionError) as error:
        raise UserError(
            f"puzzle {name}: {error}; expected a kind of {PACKAGE} and settings that it has"
        ) from error
    for number in range(size) if places is None else places:
        # As it will be read back from files: plain JSON values.
        yield json.loads(json.dumps(made[number]))


def question_of(puzzle: Puzzle) -> str:
    """The question as it is asked."""
    return str(puzzle["question"]).strip()


def question_key(puzzle: Puzzle) -> str:
    """The same for questions that differ in white space alone."""
    return " ".join(str(puzzle["question"]).split())
