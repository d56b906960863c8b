r"""The answer in a text.

A rule takes a text and returns the answer that it finds, or None; `extract` tries rules in order.
Rules take time proportional to the text's length, since nothing is known of the text. Of several
answers the last one counts.

- boxed           ``\boxed{…}`` whose braces close
- final_answer    ``Final Answer: The final answer is X. I hope it is correct.`` (Minerva)
- answer_line     ``Answer: X`` as a line (the prompt of Olmo 3's RL-Zero)
- the_answer_is   ``the answer is X``, to the end of the line or sentence
- hashes          ``#### X`` (GSM8K)
- answer_tag      ``<answer>X</answer>``
- dollars         ``$…$``
- last_number     a number anywhere
- whole           the text as it stands
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from olmoflow.errors import UserError

Rule = Callable[[str], str | None]

_SIGN = r"(?:-|(?<=[a-z]{2} )- |(?<== )- )?"
NUMBER = re.compile(rf"{_SIGN}\$?(?:\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+)(?:\.\d+)?|{_SIGN}\$?\.\d+")
"""A number in running text: sign, dollar sign, commas at the thousands, decimals. A minus may stand
apart (``is - 10``) where there is nothing to subtract from."""

LONGEST_BOX = 10_000
"""Characters of an answer in a box; one longer than that is not taken for an answer."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?:\s*(\{)|\s+([^\s${}]+))")
_MINERVA = re.compile(r"final answer is:?(.{1,1000}?)\.?\s*I hope it is correct", re.I | re.S)
_ANSWER_LINE = re.compile(
    r"^[ \t>*_#]{0,8}(?:final )?answer[ \t*_]{0,4}[:：][ \t*_]{0,4}(\S.*)$", re.I | re.M
)
_ANSWER_IS = re.compile(r"answer\s+(?:is|equals|=)\s*(?::\s*)?(?=\S)", re.I)
_SENTENCE_END = re.compile(r"[.!](?=\s|$)|$", re.M)


def without_thinking(text: str) -> str:
    """The text after its thinking trace.

    Everything up to the last ``</think>`` goes; the opening tag may have been part of the prompt.
    Of a trace that never ends only what stood before it is left: it holds no answer.
    """
    return text.rpartition("</think>")[2].partition("<think>")[0].strip()


def boxed(text: str) -> str | None:
    r"""What the last box holds: ``5`` of ``\boxed{5}`` and of ``\boxed 5``."""
    end = len(text)
    for _ in range(8):  # boxes that never close; more of them are no accident
        start = max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox", 0, end))
        if start < 0:
            return None
        match = _BOX.match(text, start)
        if match and (held := match.group(2) or _within_braces(text, match.end())):
            return held.strip().rstrip(".,;") if match.group(2) else held.strip() or None
        end = start
    return None


def _within_braces(text: str, start: int) -> str | None:
    """From `start`, just after a brace, up to the brace that closes it."""
    depth = 1
    for brace in re.compile(r"\\.|[{}]", re.S).finditer(text, start, start + LONGEST_BOX):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[start : brace.start()]
    return None


def final_answer(text: str) -> str | None:
    """What Minerva's closing sentence names (Lewkowycz et al. 2022, appendix D)."""
    # The last one alone is searched, so a text full of openings costs no more.
    start = text.lower().rfind("final answer is")
    match = _MINERVA.match(text, start) if start >= 0 else None
    return _tidy(match.group(1)) if match else None


def answer_line(text: str) -> str | None:
    """The last line of the form ``Answer: X``."""
    found = _last(_ANSWER_LINE, text)
    return _tidy(found.rstrip(" \t*_")) if found else None


def the_answer_is(text: str) -> str | None:
    """What follows the last ``answer is``, to the end of the line or sentence."""
    starts = [match.end() for match in _ANSWER_IS.finditer(text)]
    end = _SENTENCE_END.search(text, starts[-1] + 1) if starts else None
    return _tidy(text[starts[-1] : end.start()]) if end else None


def hashes(text: str) -> str | None:
    """The rest of the line after the last ``####``."""
    _, found, after = text.rpartition("####")
    return _tidy(after.strip().partition("\n")[0]) if found else None


def answer_tag(text: str) -> str | None:
    """What the last answer tag holds."""
    before, found, _ = text.rpartition("</answer>")
    _, opened, answer = before.rpartition("<answer>")
    return answer.strip() or None if found and opened else None


def dollars(text: str) -> str | None:
    """The last formula between dollar signs."""
    end = text.rfind("$")
    start = text.rfind("$", 0, end) if end > 0 else -1
    if start == end - 1 and start > 0:  # $$…$$
        end = start
        start = text.rfind("$", 0, end)
    return text[start + 1 : end].strip() or None if start >= 0 else None


def last_number(text: str) -> str | None:
    """The last number in the text, without commas and dollar sign."""
    found = _last(NUMBER, text, group=0)
    return re.sub(r"[,$ ]", "", found) if found else None


def whole(text: str) -> str | None:
    """All of it."""
    return text.strip() or None


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        boxed,
        final_answer,
        answer_line,
        the_answer_is,
        hashes,
        answer_tag,
        dollars,
        last_number,
        whole,
    )
}


def rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """The rules of these names.

    Raises:
        UserError: No names, or one that is not known.
    """
    unknown = [name for name in names if name not in RULES]
    if unknown or not names:
        found = ", ".join(unknown) or "none"
        raise UserError(f"extract: found {found}, expected rules out of {', '.join(RULES)}")
    return tuple(RULES[name] for name in names)


def extract(text: str, rules: Sequence[Rule]) -> str | None:
    """The answer that the first rule to find one finds."""
    return next((found for rule in rules if (found := rule(text))), None)


def _last(pattern: re.Pattern[str], text: str, group: int = 1) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match.group(group)
    return found


def _tidy(answer: str | None) -> str | None:
    """Without the marks that stand around an answer: emphasis, formula signs, a full stop."""
    if answer is None:
        return None
    answer = answer.strip().rstrip(".").strip("*_ \t\n")
    for opening, closing in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")):
        inside = answer.startswith(opening) and answer.endswith(closing)
        if inside and len(answer) > len(opening) + len(closing):
            inner = answer[len(opening) : -len(closing)]
            if opening not in inner:
                return inner.strip() or None
    return answer or None
