"""Scores and preferences read out of what a judge says.

A judge explains itself, thinks aloud, repeats the scale, writes Markdown or JSON, or says nothing
of use. Read is what it says last, after any thinking; what is not a clear verdict is none, and
never a middling score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LOWEST, HIGHEST = 1.0, 10.0
_NUMBER = r"(\d+(?:\.\d+)?)"
# Between a name and its number: a colon, quotes, Markdown, "score", brackets.
_BETWEEN = r"[\"'*_`]*\s*(?:score|rating)?\s*[\"'*_`]*\s*[:=|]\s*[\"'*_`\[(]*\s*"
# Neither the rest of a number nor a range; perhaps the scale.
_AFTER = r"(?![\d.]*\d)(?!\s*[-–]\s*\d)(?:\s*/\s*(\d+))?"


def read_scores(text: str, aspects: Sequence[str]) -> Mapping[str, float] | None:
    """The scores of one answer, from 1 to 10.

    Args:
        text: What the judge says.
        aspects: Their names, as the judge was told; spaces, case and underscores do not count.

    Returns:
        A score of every aspect, or None where one is missing, out of range or of another scale.
    """
    said = _conclusion(text)
    scores: dict[str, float] = {}
    for aspect in aspects:
        name = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", aspect)))
        found = re.findall(rf"(?<!\w){name}{_BETWEEN}{_NUMBER}{_AFTER}", said, re.IGNORECASE)
        if not found:
            return None
        number, scale = found[-1]
        score = float(number)
        if scale not in ("", "10") or not LOWEST <= score <= HIGHEST:
            return None
        scores[aspect] = score
    return scores


def read_preference(text: str, answers: int) -> tuple[int, int] | None:
    """Which of several answers is the best and which the worst, by their places from 0.

    Args:
        text: What the judge says, of answers numbered from 1.
        answers: How many there are.

    Returns:
        Two different places, or None where the judge names none, the same, or one that is not.
    """
    said = _conclusion(text)
    places = []
    for name in ("best", "worst"):
        pattern = rf"(?<!\w){name}(?:\s+answer)?{_BETWEEN}(?:answer\s*)?#?(\d+)(?![\d.]*\d)"
        found = re.findall(pattern, said, re.IGNORECASE)
        if not found or not 1 <= int(found[-1]) <= answers:
            return None
        places.append(int(found[-1]) - 1)
    best, worst = places
    return None if best == worst else (best, worst)


def _conclusion(text: str) -> str:
    """What stands after the thinking; nothing if it does not end."""
    if "</think>" in text:
        return text.rpartition("</think>")[2]
    return "" if "<think>" in text else text
