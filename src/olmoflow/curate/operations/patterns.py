"""Regular expressions: Arrow's RE2, which like Rust's regex crate takes linear time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations.arguments import refuse
from olmoflow.curate.operations.columns import Mask, text_of
from olmoflow.curate.operations.operation import Outcome


def require_pattern(operation: str, key: str, pattern: str) -> None:
    """Demand a regular expression that RE2 understands.

    Raises:
        UserError: It does not; what it says of it.
    """
    try:
        pc.match_substring_regex(pa.array([""], pa.large_string()), pattern=pattern)
    except pa.ArrowInvalid as error:
        reason = str(error).partition(":")[2].strip() or str(error)
        refuse(operation, key, pattern, f"a regular expression of RE2 ({reason})")


def matches(texts: pa.Array | pa.ChunkedArray, pattern: str) -> Mask:
    """[texts] where a regular expression matches; a null has no match."""
    found = pc.fill_null(pc.match_substring_regex(texts, pattern=pattern), False)
    return np.asarray(found)


@dataclass(frozen=True)
class RegexTextFilter:
    """Keep texts in which a regular expression does not match, or only those.

    Args:
        regex_string: In RE2's syntax, see `RegexLineModifier`.
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
