"""Is this answer mathematically equal to that one?

An answer is found in the text (`extraction`), brought into one spelling (`normalization`), and
where that does not settle it compared as mathematics by math-verify and SymPy. Those can take
forever or all memory over a few characters, so they run in a `JudgePool`. math-verify's own
deadline is off: it works by SIGALRM, which can be had in the main thread only, and elsewhere every
answer would be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.verifiers import extraction, normalization
from olmoflow.verifiers.pool import JudgePool
from olmoflow.verifiers.verdict import Answer, Verdict

LONGEST_ANSWER = 2000
"""Characters; what is longer is compared as text only."""

# An inequality is its interval; the pool has the deadline.
_COMPARISON = {"allow_set_relation_comp": True, "timeout_seconds": None, "raise_on_error": True}
_PERCENT = re.compile(r"\s*\\?%\s*$")


class MathVerifier:
    """1 for an answer that equals the reference, else 0.

    A reference is a text or a number, or a list of them, each of which is right.

    Args:
        extract: Rules of `extraction` in the order in which they are tried.
        deadline: Seconds for one comparison.
        memory_mb: For one comparison.
        workers: Processes; all cores if not given.
    """

    def __init__(
        self,
        extract: Sequence[str] = (
            "boxed",
            "final_answer",
            "answer_line",
            "the_answer_is",
            "dollars",
            "last_number",
        ),
        deadline: float = 5.0,
        memory_mb: int = 1000,
        workers: int | None = None,
    ) -> None:
        self._rules = extraction.rules(extract)
        self._pool = JudgePool(
            judge_equality,
            warm=warm,
            workers=workers or usable_cores(),
            deadline=deadline,
            memory_mb=memory_mb,
            preload="olmoflow.verifiers.math_preload",
        )

    def verify(self, answers: Sequence[Answer]) -> list[Verdict]:
        """One verdict for each answer."""
        golds = [references(answer.reference) for answer in answers]
        found = [
            extraction.extract(extraction.without_thinking(answer.text), self._rules)
            for answer in answers
        ]
        verdicts = [settled(text, gold) for text, gold in zip(found, golds, strict=True)]
        open_ = [place for place, verdict in enumerate(verdicts) if verdict is None]
        judged = self._pool.judge([Answer(found[i] or "", golds[i]) for i in open_])
        for place, verdict in zip(open_, judged, strict=True):
            verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()


def references(reference: Any) -> list[str]:
    """The right answers.

    Raises:
        UserError: Neither text nor number nor a list of them.
    """
    given = reference if isinstance(reference, list | tuple) else [reference]
    if not given or not all(isinstance(one, str | int | float) for one in given):
        raise UserError(
            f"reference: found {reference!r:.80}, expected an answer as text or number, or a list"
        )
    return [extraction.boxed(str(one)) or str(one) for one in given]


def settled(found: str | None, golds: Sequence[str]) -> Verdict | None:
    """The verdict that needs no algebra; None where it is open."""
    if found is None:
        return Verdict(0.0, "no_answer", detail="no answer found in the text")
    spelled = normalization.math(found[:LONGEST_ANSWER])
    spellings = [normalization.math(gold) for gold in golds]
    if len(found) > LONGEST_ANSWER:
        return Verdict(float(found in golds), extracted=found, detail="too long to be mathematics")
    if spelled and spelled in spellings:
        return Verdict(1.0, extracted=found)
    numbers = [normalization.number(spelling) for spelling in spellings]
    number = normalization.number(spelled)
    if number is not None and number in numbers:
        return Verdict(1.0, extracted=found)
    exact = number is not None and None not in numbers
    if exact and not any(sign in text for text in (found, *golds) for sign in ".%"):
        return Verdict(0.0, extracted=found)
    return None


def judge_equality(found: str, golds: Sequence[str]) -> Verdict:
    """In a worker: compare by algebra."""
    return Verdict(float(any(equal(found, gold) for gold in golds)), extracted=found)


def equal(found: str, gold: str) -> bool:
    """Whether math-verify takes the two for the same.

    Raises:
        MemoryError: The comparison needs more than the process may have.
    """
    from math_verify import verify

    for one in _parsed(gold):
        for other in _parsed(found):
            try:
                if verify(one, other, **_COMPARISON):
                    return True
            except (MemoryError, RecursionError):
                raise
            except Exception:  # SymPy raises all there is for what it cannot compare
                continue
    return False


def _parsed(answer: str) -> list[Any]:
    """What math-verify reads in an answer: SymPy objects, a text where it can read nothing.

    A percentage is both its number and a hundredth of that, since answers are given either way.
    """
    answer = normalization.latex(answer)
    bare = _PERCENT.sub("", answer)
    parsed = [_complex(one) for one in _read(bare)]
    if bare == answer:
        return parsed
    return parsed + [one / 100 for one in parsed if getattr(one, "is_number", False)]


def _read(answer: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    try:
        parsed: list[Any] = parse(
            f"\\boxed{{{answer}}}",
            extraction_config=[
                LatexExtractionConfig(boxed_match_priority=0),
                ExprExtractionConfig(),
            ],
            parsing_timeout=None,
            raise_on_error=True,
        )
    except (MemoryError, RecursionError):
        raise
    except Exception:  # its grammar and SymPy raise all there is for what is not mathematics
        return []
    return parsed


def _complex(parsed: Any) -> Any:
    """With the imaginary unit where math-verify reads a variable named i."""
    from sympy import Expr, I

    if not isinstance(parsed, Expr):
        return parsed
    named = [symbol for symbol in parsed.free_symbols if str(symbol) == "i"]
    return parsed.subs(dict.fromkeys(named, I)) if named else parsed


def warm() -> None:
    """Import what a comparison needs, and try it, so that the first answer waits for nothing."""
    import logging

    # It warns that its deadline is off; the pool's is on.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    equal("\\frac{1}{2}", "0.5")
