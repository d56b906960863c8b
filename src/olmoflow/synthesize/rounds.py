"""The recipes of all prompts side by side, in rounds.

A round gathers what every recipe asks next, puts it to one speaker after the other, and hands the
replies back. So a speaker has a whole round's questions at once to make batches of, and of two
models that do not fit into memory together only one is open at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from olmoflow.inference.chat import Reply
from olmoflow.synthesize.recipe import Ask, Pair, Recipe, Removed

Asker = Callable[[str, Sequence[Ask]], Sequence[Reply]]
"""Speaker and distinct questions to replies, in their order."""


def run_rounds(recipes: Sequence[Recipe], ask: Asker) -> list[Pair | Removed]:
    """Run recipes to their end.

    Args:
        recipes: One for each prompt.
        ask: Puts questions to a speaker.

    Returns:
        What came of each, in their order.
    """
    ends: dict[int, Pair | Removed] = {}
    waiting: dict[int, Sequence[Ask]] = {}
    for number, recipe in enumerate(recipes):
        _go_on(number, recipe, None, waiting, ends)
    while waiting:
        replies = _ask_all(waiting, ask)
        asked, waiting = waiting, {}
        for number, questions in asked.items():
            back = [replies[question] for question in questions]
            _go_on(number, recipes[number], back, waiting, ends)
    return [ends[number] for number in range(len(recipes))]


def _go_on(
    number: int,
    recipe: Recipe,
    replies: Sequence[Reply] | None,
    waiting: dict[int, Sequence[Ask]],
    ends: dict[int, Pair | Removed],
) -> None:
    try:
        waiting[number] = next(recipe) if replies is None else recipe.send(replies)
    except StopIteration as end:
        ends[number] = end.value


def _ask_all(waiting: dict[int, Sequence[Ask]], ask: Asker) -> dict[Ask, Reply]:
    by_speaker: dict[str, dict[Ask, None]] = {}
    for questions in waiting.values():
        for question in questions:
            by_speaker.setdefault(question.speaker, {})[question] = None
    replies: dict[Ask, Reply] = {}
    for speaker, questions_of in by_speaker.items():
        distinct = list(questions_of)
        replies.update(zip(distinct, ask(speaker, distinct), strict=True))
    return replies
