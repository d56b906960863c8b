"""Recipes are run against speakers that are functions of what they are asked."""

import pytest

from olmoflow.inference.chat import Answer
from olmoflow.synthesize.prompt import Prompt
from olmoflow.synthesize.rounds import run_rounds
from olmoflow.tokens.chat.conversation import Message


@pytest.fixture
def run():
    """``run(recipe, say, n)``: n prompts, with ``say(speaker, text, seed)`` for answers."""

    def runs(recipe, say, n=1, history=()):
        prompts = [
            Prompt(f"p{k}", (*history, Message("user", f"request {k}")), "chat") for k in range(n)
        ]

        def ask(speaker, asks):
            replies = [say(speaker, a.messages[-1].content, a.seed) for a in asks]
            return [Answer(r, None, "stop") if isinstance(r, str) else r for r in replies]

        return run_rounds([recipe(prompt) for prompt in prompts], ask)

    return runs
