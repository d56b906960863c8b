"""Modifiers of a text's lines. A text from which nothing goes stays the very same column."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations.arguments import refuse, require_choice
from olmoflow.curate.operations.columns import (
    Mask,
    strings_in,
    text_of,
    with_some_texts,
    with_texts,
)
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.patterns import matches, require_pattern
from olmoflow.curate.strings import Strings, array_of, strings_of
from olmoflow.curate.text import measures
from olmoflow.curate.text.characters import NUMBER, UPPERCASE
from olmoflow.curate.text.lines import (
    Lines,
    collapse_newlines,
    drop_lines,
    join_lines,
    lines_by_share,
    lines_by_words,
    most_newlines,
    split_lines,
)
from olmoflow.curate.text.measures import measure_strings

# A line that is nothing but a number of likes, views and so on, with what is no word around it.
SOCIAL_COUNTER = (
    r"^\W*\d[\d,.]*[kKmMbB]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes"
    r"|downvotes|downloads|views|followers)\W*$"
)


def _dropped(documents: pa.Table, name: str, texts: Strings, keep: Mask) -> Outcome:
    """The documents without the lines that do not stay."""
    if keep.all():
        return Outcome(documents)
    return Outcome(with_texts(documents, name, drop_lines(texts, keep)))


@dataclass(frozen=True)
class NewlineRemovalModifier:
    """Let no more than a few newlines follow each other.

    Args:
        max_consecutive: How many may.
        text_field: The text.
    """

    max_consecutive: int = 2
    text_field: str = "text"

    def __post_init__(self) -> None:
        if self.max_consecutive < 0:
            refuse("newline_removal_modifier", "max_consecutive", self.max_consecutive, "0 or more")

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = strings_in(text_of(documents, self.text_field))
        if (most_newlines(texts.data, texts.offsets) <= self.max_consecutive).all():
            return Outcome(documents)
        collapsed = collapse_newlines(texts, self.max_consecutive)
        return Outcome(with_texts(documents, self.text_field, collapsed))


@dataclass(frozen=True)
class RatioLineModifier:
    """Drop lines of which too many characters are uppercase letters, or numbers.

    Args:
        check: ``uppercase`` or ``numeric``.
        upper_bound: The highest share of a line's characters; an empty line stays.
        text_field: The text.
    """

    check: str
    upper_bound: float
    text_field: str = "text"

    def __post_init__(self) -> None:
        choices = ("uppercase", "numeric")
        require_choice("ratio_line_modifier", "check", self.check, choices)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = strings_in(text_of(documents, self.text_field))
        wanted = UPPERCASE if self.check == "uppercase" else NUMBER
        keep = lines_by_share(texts, wanted, self.upper_bound)
        return _dropped(documents, self.text_field, texts, keep)


@dataclass(frozen=True)
class LineLenModifier:
    """Drop lines of few words; a blank one has none.

    Args:
        lower_bound: Fewest words.
        text_field: The text.
    """

    lower_bound: int = 0
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = strings_in(text_of(documents, self.text_field))
        keep = lines_by_words(texts, self.lower_bound)
        return _dropped(documents, self.text_field, texts, keep)


@dataclass(frozen=True)
class RegexLineModifier:
    r"""Drop lines in which a regular expression matches.

    Args:
        regex: In RE2's syntax, which is that of Rust's regex crate but for Unicode classes:
            ``\d``, ``\w`` and ``\s`` are ASCII here. Default: a count of likes, views, ….
        text_field: The text.
    """

    regex: str = SOCIAL_COUNTER
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_pattern("regex_line_modifier", "regex", self.regex)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        column = text_of(documents, self.text_field)
        rows = _with_a_line(column, self.regex)
        if not rows.any():
            return Outcome(documents)
        lines = split_lines(strings_of(column.filter(pa.array(rows))))
        keep = ~matches(array_of(lines.strings), self.regex)
        if keep.all():
            return Outcome(documents)
        texts = join_lines(lines, keep)
        return Outcome(with_some_texts(documents, self.text_field, column, rows, texts))


def _with_a_line(column: pa.ChunkedArray, pattern: str) -> Mask:
    """Texts that may have a line in which a pattern matches: all that do, perhaps others."""
    # What speaks of the whole text's ends, or switches "m" off, cannot be asked of many lines.
    if not len(column) or any(part in pattern for part in (r"\A", r"\z", "(?-")):
        return np.ones(len(column), np.bool_)
    return matches(column, f"(?m){pattern}")


@dataclass(frozen=True)
class SubstringLineModifier:
    """Take substrings out of lines, or drop the lines that have them, in any case of letters.

    Args:
        banlist: The substring, or several.
        max_len: Lines of more words stay as they are.
        remove_substring_only: Take out the substring; a line with nothing left is dropped. Else
            the whole line is dropped.
        location: ``prefix`` and ``suffix``: only at a line's start or end, but for white space.
        text_field: The text.
    """

    banlist: str | list[str]
    max_len: int = sys.maxsize
    remove_substring_only: bool = True
    location: str = "any"
    text_field: str = "text"
    _pattern: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        name = "substring_line_modifier"
        require_choice(name, "location", self.location, ("any", "prefix", "suffix"))
        banned = [self.banlist] if isinstance(self.banlist, str) else list(self.banlist)
        if not banned or not all(banned):
            refuse(name, "banlist", self.banlist, "a substring, or several")
        pattern = f"(?i:{'|'.join(re.escape(text) for text in banned)})"
        pattern = {"any": pattern, "prefix": rf"^\s*{pattern}", "suffix": rf"{pattern}\s*$"}[
            self.location
        ]
        require_pattern(name, "banlist", pattern)
        object.__setattr__(self, "_pattern", pattern)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        column = text_of(documents, self.text_field)
        rows = matches(column, f"(?m){self._pattern}") if len(column) else np.zeros(0, np.bool_)
        if not rows.any():
            return Outcome(documents)
        lines = split_lines(strings_of(column.filter(pa.array(rows))))
        found = matches(array_of(lines.strings), self._pattern)
        if self.max_len < sys.maxsize:
            measured = measure_strings(lines.strings.data, lines.strings.offsets)
            found &= measured[:, measures.WORDS] <= self.max_len
        if not found.any():
            return Outcome(documents)
        texts = self._without(lines, found)
        return Outcome(with_some_texts(documents, self.text_field, column, rows, texts))

    def _without(self, lines: Lines, found: Mask) -> Strings:
        if not self.remove_substring_only:
            return join_lines(lines, ~found)
        array = array_of(lines.strings)
        shorter = pc.replace_substring_regex(
            array.filter(pa.array(found)), pattern=self._pattern, replacement=""
        )
        places = np.arange(len(array))
        places[found] = len(array) + np.arange(len(shorter))
        changed = strings_of(pa.concat_arrays([array, shorter]).take(pa.array(places)))
        blank = matches(shorter, r"^\s*$")
        keep = np.ones(len(array), np.bool_)
        keep[found] = ~blank
        return join_lines(Lines(changed, lines.first), keep)
