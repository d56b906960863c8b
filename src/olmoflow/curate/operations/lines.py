"""Modifiers of a text's lines. A text from which nothing goes stays the very same column."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations.arguments import refuse, require_choice
from olmoflow.curate.operations.columns import (
    Mask,
    text_of,
    with_some_texts,
    with_texts,
)
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.patterns import matches, require_pattern, unicode_classes
from olmoflow.curate.strings import Strings, array_of, strings_of
from olmoflow.curate.text.characters import DIGIT, UPPERCASE, properties
from olmoflow.curate.text.lines import (
    Lines,
    collapse_newlines,
    drop_lines,
    has_full_line,
    has_untidy_lines,
    join_lines,
    lines_by_share,
    lines_by_words,
    most_newlines,
    split_lines,
)
from olmoflow.curate.text.words import count_words

# A line that is nothing but a number of likes, views and so on, with what is no word around it.
SOCIAL_COUNTER = (
    r"^\W*\d[\d,.]*[kmb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes"
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
        texts = strings_of(text_of(documents, self.text_field))
        if (most_newlines(texts.data, texts.offsets) <= self.max_consecutive).all():
            return Outcome(documents)
        collapsed = collapse_newlines(texts, self.max_consecutive)
        return Outcome(with_texts(documents, self.text_field, collapsed))


@dataclass(frozen=True)
class RatioLineModifier:
    """Drop lines of which too much is uppercase letters, or digits.

    Args:
        check: ``uppercase``, in any script, or ``numeric``: the digits 0 to 9.
        upper_bound: The most such characters to a byte of the line; an empty line stays.
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
        texts = strings_of(text_of(documents, self.text_field))
        wanted = UPPERCASE if self.check == "uppercase" else DIGIT
        keep = lines_by_share(texts, wanted, self.upper_bound)
        return _dropped(documents, self.text_field, texts, keep)


@dataclass(frozen=True)
class LineLenModifier:
    """Drop lines of few words, but not the empty ones; and texts of which nothing else is left.

    Args:
        lower_bound: Fewest words.
        text_field: The text.
    """

    lower_bound: int = 0
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = strings_of(text_of(documents, self.text_field))
        keep = lines_by_words(texts, self.lower_bound)
        if keep.all():
            return Outcome(documents, has_full_line(texts.data, texts.offsets))
        left = drop_lines(texts, keep)
        documents = with_texts(documents, self.text_field, left)
        return Outcome(documents, has_full_line(left.data, left.offsets))


@dataclass(frozen=True)
class RegexLineModifier:
    r"""Drop lines in which a regular expression matches, and texts of which no line is left.

    Args:
        regex: In RE2's syntax, which is that of Rust's regex crate but for some properties and for
            ``\b``, which is ASCII here. It is shown the line in lower case. Default: a count of
            likes, views, ….
        text_field: The text.
    """

    regex: str = SOCIAL_COUNTER
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_pattern("regex_line_modifier", "regex", self.regex)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        column = text_of(documents, self.text_field)
        if _ignores_case(self.regex):
            rows = _with_a_line(column, f"(?i){self.regex}")
        else:
            rows = _with_a_line(pc.utf8_lower(column), self.regex)
        if not rows.any():
            return Outcome(documents)
        lines = split_lines(strings_of(column.filter(pa.array(rows))))
        keep = ~matches(pc.utf8_lower(array_of(lines.strings)), self.regex)
        if keep.all():
            return Outcome(documents)
        texts = join_lines(lines, keep)
        stay = np.ones(len(column), np.bool_)
        stay[rows] = np.logical_or.reduceat(keep, lines.first[:-1])
        return Outcome(with_some_texts(documents, self.text_field, column, rows, texts), stay)


def _ignores_case(pattern: str) -> bool:
    """Whether a pattern that matches in lower case does so in any, if told to ignore case."""
    return not any(part in pattern for part in ("[^", r"\p", r"\P", "[:", "(?-"))


def _with_a_line(column: pa.ChunkedArray, pattern: str) -> Mask:
    """Texts that may have a line in which a pattern matches: all that do, perhaps others."""
    # What speaks of the whole text's ends, or switches "m" off, cannot be asked of many lines.
    if not len(column) or any(part in pattern for part in (r"\A", r"\z", "(?-")):
        return np.ones(len(column), np.bool_)
    return matches(column, f"(?m){pattern}")


@dataclass(frozen=True)
class SubstringLineModifier:
    r"""Take what a regular expression matches out of lines, or drop the lines in which it matches.

    As with datamap-rs, a newline at the text's end goes in any case, ``\r\n`` becomes ``\n``, and
    where something may be taken out, lines of white space alone go.

    Args:
        banlist: In RE2's syntax, see `RegexLineModifier`; or several expressions. Case counts.
        max_len: Lines of more words stay as they are.
        remove_substring_only: Take out what matches, and white space next to it; between words a
            blank stays. A line with nothing left is dropped. Else the whole line is dropped.
        location: ``prefix`` and ``suffix``: only at a line's start or end.
        text_field: The text.
    """

    banlist: str | list[str]
    max_len: int = sys.maxsize
    remove_substring_only: bool = True
    location: str = "any"
    text_field: str = "text"
    _banned: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        name = "substring_line_modifier"
        require_choice(name, "location", self.location, ("any", "prefix", "suffix"))
        banned = [self.banlist] if isinstance(self.banlist, str) else list(self.banlist)
        if not banned or not all(banned):
            refuse(name, "banlist", self.banlist, "a regular expression, or several")
        for pattern in banned:
            require_pattern(name, "banlist", pattern)
        object.__setattr__(self, "_banned", "|".join(f"(?:{pattern})" for pattern in banned))

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        column = text_of(documents, self.text_field)
        rows = _with_a_line(column, self._at_place(f"(?:{self._banned})"))
        rows |= has_untidy_lines(*strings_of(column), properties())
        if not rows.any():
            return Outcome(documents)
        chosen = pc.replace_substring(column.filter(pa.array(rows)), "\r\n", "\n")
        texts = self._changed(split_lines(strings_of(chosen)))
        return Outcome(with_some_texts(documents, self.text_field, column, rows, texts))

    def _at_place(self, pattern: str, white: str = "") -> str:
        """A pattern where it is looked for, with the white space beside it."""
        if self.location == "prefix":
            return f"^{pattern}{white}"
        return f"{white}{pattern}$" if self.location == "suffix" else f"{white}{pattern}{white}"

    def _changed(self, lines: Lines) -> Strings:
        array = array_of(lines.strings)
        full = np.diff(lines.strings.offsets) > 0
        # Newlines end lines: behind the last one there is none.
        keep = np.ones(len(array), np.bool_)
        last = lines.first[1:] - 1
        keep[last] = full[last]
        pattern = self._at_place(f"(?:{self._banned})", r"\s?")
        found = full & matches(array, pattern)
        if self.max_len < sys.maxsize:
            found &= count_words(*lines.strings, properties()) <= self.max_len
        if not self.remove_substring_only:
            return join_lines(lines, keep & ~found)
        shorter = pc.replace_substring_regex(
            array.filter(pa.array(found)),
            pattern=unicode_classes(pattern),
            replacement=" " if self.location == "any" else "",
        )
        places = np.arange(len(array))
        places[found] = len(array) + np.arange(len(shorter))
        changed = pa.concat_arrays([array, shorter]).take(pa.array(places))
        keep &= ~(full & matches(changed, r"^\s*$"))
        return join_lines(Lines(strings_of(changed), lines.first), keep)
