"""Regular expressions: Arrow's RE2, which like Rust's regex crate takes linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations.arguments import refuse
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome

# The classes as Unicode has them, to stand within brackets. RE2 knows no property Alphabetic: the
# ranges are those letters that are none by their category.
_UNICODE = {
    "d": r"\p{Nd}",
    "s": r"\t-\r\x{85}\p{Z}",
    "w": r"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}"
    r"\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}",
}
# What belongs together in a pattern, outside of brackets and within.
_OUTSIDE = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?|.", re.DOTALL)
_INSIDE = re.compile(r"\\.|\[:\^?\w+:\]|.", re.DOTALL)


def unicode_classes(pattern: str) -> str:
    r"""A pattern in which ``\d``, ``\s`` and ``\w`` are Unicode's, as in Rust, not RE2's ASCII.

    ``\b``, and ``\S`` and ``\W`` within brackets, stay ASCII: RE2 has no other way to say them.
    """
    parts: list[str] = []
    place, inside = 0, False
    while place < len(pattern):
        found = (_INSIDE if inside else _OUTSIDE).match(pattern, place)
        assert found is not None
        token, place = found[0], found.end()
        if token == r"\D":
            token = r"\P{Nd}"
        elif token[0] == "\\" and token[1:].lower() in _UNICODE:
            chosen = _UNICODE[token[1:].lower()]
            if token[1:].islower():
                token = chosen if inside else f"[{chosen}]"
            elif not inside:
                token = f"[^{chosen}]"
        elif not inside:
            inside = token[0] == "["
        elif token == "]":
            inside = False
        parts.append(token)
    return "".join(parts)


def require_pattern(operation: str, key: str, pattern: str) -> None:
    """Demand a regular expression that RE2 understands.

    Raises:
        UserError: It does not; what it says of it.
    """
    try:
        pc.match_substring_regex(
            pa.array([""], pa.large_string()), pattern=unicode_classes(pattern)
        )
    except pa.ArrowInvalid as error:
        reason = str(error).partition(":")[2].strip() or str(error)
        refuse(operation, key, pattern, f"a regular expression of RE2 ({reason})")


def matches(texts: pa.Array | pa.ChunkedArray, pattern: str) -> Mask:
    """[texts] where a regular expression matches, see `unicode_classes`; a null has no match."""
    found = pc.match_substring_regex(texts, pattern=unicode_classes(pattern))
    return np.asarray(pc.fill_null(found, False))


@dataclass(frozen=True)
class RegexTextFilter:
    """Keep texts in which a regular expression does not match, or only those.

    Args:
        regex_string: In RE2's syntax, see `RegexLineModifier`. (datamap-rs takes none for one that
            matches everywhere; here it must be given.)
        remove_matches: Drop the texts in which it matches; else drop the others.
        text_field: The text.
    """

    regex_string: str
    remove_matches: bool = True
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_pattern("regex_text_filter", "regex_string", self.regex_string)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        found = matches(text_of(documents, self.text_field), self.regex_string)
        return Outcome(documents, found != self.remove_matches)
