"""The share of a prompt's instructions that a text follows.

A reference is a row of IFEval or IFBench: a mapping with ``instruction_id_list``, names such as
``startend:quotation``, and ``kwargs``, a list of as many mappings with their arguments (those that
are None are not given).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.verifiers.extraction import without_thinking
from olmoflow.verifiers.instructions import ifbench, ifeval
from olmoflow.verifiers.pool import JudgePool
from olmoflow.verifiers.verdict import Answer, Verdict

INSTRUCTIONS: dict[str, Callable[..., bool]] = {**ifeval.INSTRUCTIONS, **ifbench.INSTRUCTIONS}
Instruction = tuple[str, dict[str, Any]]


class InstructionVerifier:
    """The share of its instructions that a text follows.

    Args:
        mode: ``fraction`` scores the share; ``all`` scores 1 if the text follows all, else 0.
        loose: A text follows an instruction also if it does so without its first or its last line
            or its asterisks (Zhou et al. 2023, section 2).
        deadline: Seconds for one text.
        memory_mb: For one text.
        workers: Processes; all cores if not given.
    """

    def __init__(
        self,
        mode: Literal["fraction", "all"] = "fraction",
        loose: bool = False,
        deadline: float = 10.0,
        memory_mb: int = 1000,
        workers: int | None = None,
    ) -> None:
        if mode not in ("fraction", "all"):
            raise UserError(f"mode: found {mode}, expected fraction or all")
        self._all, self._loose = mode == "all", loose
        self._pool = JudgePool(
            judge_instructions,
            warm=warm,
            workers=workers or usable_cores(),
            deadline=deadline,
            memory_mb=memory_mb,
            preload="olmoflow.verifiers.instructions.preload",
        )

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer; its detail names the instructions that were not followed."""
        work = [
            Answer(
                without_thinking(answer.text),
                (instructions(answer.reference), self._loose, self._all),
            )
            for answer in answers
        ]
        return self._pool.judge(work)

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()


def instructions(reference: Any) -> list[Instruction]:
    """The instructions of a row, with those arguments that are given.

    Raises:
        UserError: It has none, or one that is not known, or other arguments than that takes.
    """
    if not isinstance(reference, Mapping):
        raise UserError(f"reference: found {reference!r:.80}, expected a row of IFEval or IFBench")
    names, kwargs = reference.get("instruction_id_list"), reference.get("kwargs")
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise UserError(f"reference.instruction_id_list: found {names!r:.80}, expected names")
    if not isinstance(kwargs, Sequence) or len(kwargs) != len(names):
        raise UserError(f"reference.kwargs: found {kwargs!r:.80}, expected {len(names)} mappings")
    return [_instruction(name, given) for name, given in zip(names, kwargs, strict=True)]


def _instruction(name: Any, given: Any) -> Instruction:
    if name not in INSTRUCTIONS:
        raise UserError(
            f"reference.instruction_id_list: found {name}, "
            f"expected one of {', '.join(INSTRUCTIONS)}"
        )
    arguments = {key: value for key, value in dict(given or {}).items() if value is not None}
    try:
        inspect.signature(INSTRUCTIONS[name]).bind("", **arguments)
    except TypeError as problem:
        raise UserError(f"reference.kwargs of {name}: found {arguments!r:.80}: {problem}") from None
    return name, arguments


def judge_instructions(text: str, work: tuple[list[Instruction], bool, bool]) -> Verdict:
    """In a worker: check each instruction."""
    wanted, loose, all_ = work
    if not text.strip():
        return Verdict(0.0, "no_answer", detail="the text is empty")
    texts = variants(text) if loose else [text]
    failed = [name for name, arguments in wanted if not follows(texts, name, arguments)]
    share = 1 - len(failed) / len(wanted)
    detail = f"not followed: {', '.join(failed)}" if failed else None
    return Verdict(float(share == 1) if all_ else share, detail=detail)


def follows(texts: Sequence[str], name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether one of the texts follows the instruction.

    Raises:
        ValueError: An argument has no meaning; `re.error`, a keyword is no regular expression.
    """
    return any(text.strip() and INSTRUCTIONS[name](text, **arguments) for text in texts)


def variants(text: str) -> list[str]:
    """The text with and without its first line, its last line and its asterisks."""
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return cut + [variant.replace("*", "") for variant in cut]


def warm() -> None:
    """Import what the checks need, and try it, so that the first text waits for nothing."""
    from olmoflow.verifiers.instructions import language

    language.count_sentences("One. Two.")
    language.tokens("One.")
    language.language("This is written in English.")
    language.can_be_verb("run")
    language.syllables("one")
    language.is_emoji("a")
