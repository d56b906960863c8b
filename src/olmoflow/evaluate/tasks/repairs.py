"""What is wrong in the wheel's requests and can be put right without guessing.

A repaired task keeps its plain name; the requests as they stand in the wheel are there as well,
under the suffix ``wheel``, for comparison with runs that used them (OLMo-core's in-loop scores).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace

from olmoflow.evaluate.tasks.document import Document

Repair = Callable[[Document], Document]


def spans_joined(document: Document) -> Document:
    """DROP's gold answers are tuples of spans that were turned into text: ``" ('swedish',)"``.

    The spans are taken out and joined by commas, as a reader would say them; the prompt's shots
    have single spans alone.
    """
    ((context, continuation),) = document.choices
    spans = ast.literal_eval(continuation.strip())
    return replace(document, choices=((context, " " + ", ".join(spans)),))


def fence_on_its_own_line(document: Document) -> Document:
    """MT-MBPP's last question runs into its code fence, unlike its shots: ``…its rows.```bash``.

    OLMES mended this, and Windows line endings, as ``mt_mbpp_v2fix``, which OlmoBaseEval uses.
    """
    ((context, continuation),) = document.choices
    question, fence, language = context.rpartition("```")
    mended = f"{question.rstrip()}\n{fence}{language}\n"
    unix = tuple(text.replace("\r\n", "\n") for text in (mended, continuation))
    return replace(document, choices=((unix[0], unix[1]),))


def repair_of(task: str) -> Repair | None:
    """What a task needs; None: nothing."""
    if task == "drop":
        return spans_joined
    return fence_on_its_own_line if task.startswith("mt_mbpp_") else None
