"""GSM8K and MATH as models answer them: with the shots of the wheel, or as a chat.

- ``gsm8k:gen``, ``minerva_math_SUBJECT:gen`` go on from 8 and 4 solved questions (OlmoBaseEval)
- ``…:chat`` asks a chat model to reason and to put its answer into a box. The words are our own:
  Ai2's chat prompts are not in the wheel, so scores are near theirs but not the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from olmoflow.evaluate.tasks.catalog import MINERVA_SUBJECTS
from olmoflow.evaluate.tasks.verified import CHAT_TOKENS, Generation, VerifiedTask
from olmoflow.evaluate.tasks.wheel_questions import (
    ShotQuestions,
    ZeroShotQuestions,
    documents_of,
)
from olmoflow.verifiers.extraction import boxed

BOX = "Reason step by step, and put your final answer within \\boxed{{}}."
GSM8K = Generation(512, ("Question:", "</s>", "<|im_end|>", "\n\n"))
MINERVA = Generation(1024, ("Problem:", "\n\n"))
CHAT = Generation(CHAT_TOKENS, chat=True)
# Where an answer may stand, the surest place first; the names are those of verifiers.extraction.
RULES = ("boxed", "final_answer", "answer_line", "the_answer_is", "dollars", "last_number")


def gsm8k_answer(doc: Mapping[str, Any]) -> str:
    """The number after ``####``."""
    return str(doc["short_answer"])


def boxed_answer(doc: Mapping[str, Any]) -> str:
    """What the solution's last box holds.

    The wheel's ``answer`` is that after OLMES's normalisation, which breaks some: of
    ``\\left(3,…`` it leaves ``\\le(3,…``.
    """
    return boxed(doc["solution"]) or str(doc["answer"])


def tasks() -> dict[str, Callable[..., VerifiedTask]]:
    """All of them by name."""
    made = [*_gsm8k()]
    for subject in (*MINERVA_SUBJECTS, "500"):
        made += _minerva(f"minerva_math_{subject}")
    return {task.name: task.sampled for task in made}


def _gsm8k() -> tuple[VerifiedTask, VerifiedTask]:
    documents = documents_of("gsm8k:bpb")
    shots = ShotQuestions(documents, gsm8k_answer)
    chat = ZeroShotQuestions(documents, gsm8k_answer, f"{{question}}\n\n{BOX}")
    return (
        VerifiedTask("gsm8k:gen", shots, GSM8K, "gsm8k", majority=True),
        VerifiedTask("gsm8k:chat", chat, CHAT, "gsm8k", majority=True),
    )


def _minerva(name: str) -> tuple[VerifiedTask, VerifiedTask]:
    documents = documents_of(f"{name}:bpb")
    shots = ShotQuestions(documents, boxed_answer)
    chat = ZeroShotQuestions(documents, boxed_answer, f"{{problem}}\n\n{BOX}")
    rules = {"extract": list(RULES)}
    return (
        VerifiedTask(f"{name}:gen", shots, MINERVA, "math", rules, majority=True),
        VerifiedTask(f"{name}:chat", chat, CHAT, "math", rules, majority=True),
    )
