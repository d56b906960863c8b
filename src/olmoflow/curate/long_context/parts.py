"""A document as parts: runs of sections, of a length drawn by chance within bounds.

Sections end at blank lines. The bounds are those of Olmo 3's synthetic long documents: a part has
at least 4K tokens or a quarter of the document, and at most 64K or a half of it, with 4 characters
a token.
"""

from __future__ import annotations

import re
from random import Random

_SECTION_CHARACTERS = 500
_LEAST_CHARACTERS = 4 * 4096
_MOST_CHARACTERS = 4 * 65536
_LEAST_SECTIONS = 4

# A blank line, except before an item of a list and behind a colon.
_BORDER = re.compile(r"(?<!:)\n\s*\n(?!\s*(?:[1-9]\d*\.|[-*•])\s)")
GAP = "\n\n"


def sections(text: str, least: int = _SECTION_CHARACTERS) -> list[str]:
    """A text cut at blank lines, into sections of at least so many characters.

    What is shorter goes with what follows; at the end, with what stands before it.
    """
    found: list[str] = []
    pending = ""
    for piece in _BORDER.split(text.strip()):
        pending = f"{pending}{GAP}{piece}" if pending else piece
        if len(pending) >= least:
            found.append(pending)
            pending = ""
    if pending:
        found.append(f"{found.pop()}{GAP}{pending}" if found else pending)
    return found


def parts(text: str, random: Random) -> list[list[str]]:
    """A document as parts, each a list of sections; nothing where there are too few sections."""
    cut = sections(text)
    if len(cut) < _LEAST_SECTIONS:
        return []
    least = min(_LEAST_CHARACTERS, len(text) // 4)
    most = max(least, min(_MOST_CHARACTERS, len(text) // 2))
    made: list[list[str]] = []
    room = 0
    for section in cut:
        if room <= 0:
            made.append([])
            room = random.randint(least, most)
        made[-1].append(section)
        room -= len(section)
    return made


def joined(part: list[str]) -> str:
    """The text of a part."""
    return GAP.join(part)
