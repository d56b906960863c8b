"""Where words begin and end: Unicode's word boundary rules (UAX #29), compiled.

A segment is what lies between two neighbouring boundaries; a word is a segment with a letter or a
number in it. These are the words of Rust's ``unicode-segmentation``, which datamap-rs counts:
"3.14" and "can't" are one, a Chinese or Thai character is one.
"""

from __future__ import annotations

import numpy as np

from olmoflow.compiled import njit
from olmoflow.curate.text.characters import (
    ALPHABETIC,
    CLASS,
    CR,
    DOUBLE_QUOTE,
    EXTEND,
    EXTEND_NUM_LET,
    FORMAT,
    HEBREW_LETTER,
    JOINS,
    KATAKANA,
    LETTER,
    LF,
    MID_LETTER,
    MID_NUM,
    MID_NUM_LET,
    NEWLINE,
    NUMBER,
    NUMERIC,
    OTHER,
    PICTOGRAPH,
    REGIONAL_INDICATOR,
    SINGLE_QUOTE,
    SPACE,
    ZWJ,
    Bytes,
    Integers,
    Properties,
    decode,
)

WORD = ALPHABETIC | NUMBER

# Sets of classes, a bit for each.
_IGNORED = 1 << EXTEND | 1 << FORMAT | 1 << ZWJ
_LINE_ENDS = 1 << CR | 1 << LF | 1 << NEWLINE
_LETTERS = 1 << LETTER | 1 << HEBREW_LETTER
_ALNUM = _LETTERS | 1 << NUMERIC
_QUOTE_OR_DOT = 1 << MID_NUM_LET | 1 << SINGLE_QUOTE


@njit(cache=True, nogil=True)
def _class_after(text: Bytes, i: int, end: int, table: Properties) -> int:
    """The class of the next character that is not ignored (rule WB4); `OTHER` at the end."""
    while i < end:
        point, size = decode(text, i, end)
        kind = int(table[point] & CLASS)
        if not _IGNORED >> kind & 1:
            return kind
        i += size
    return OTHER


@njit(cache=True, nogil=True)
def _joined(last: int, kind: int) -> bool:
    """Whether two neighbours are in one segment by rules WB5, 8–10, 13, 13a and 13b."""
    before = 0
    if _ALNUM >> kind & 1:
        before = _ALNUM | 1 << EXTEND_NUM_LET
    elif kind == KATAKANA:
        before = 1 << KATAKANA | 1 << EXTEND_NUM_LET
    elif kind == EXTEND_NUM_LET:
        before = _ALNUM | 1 << KATAKANA | 1 << EXTEND_NUM_LET
    return before >> last & 1 != 0


@njit(cache=True, nogil=True)
def _bridges(last: int, kind: int, after: int) -> bool:
    """Whether punctuation between two letters or two digits joins them: WB6, 7, 7b, 11, 12."""
    if _LETTERS >> last & 1:
        if (_QUOTE_OR_DOT | 1 << MID_LETTER) >> kind & 1:
            return _LETTERS >> after & 1 != 0
        return kind == DOUBLE_QUOTE and last == HEBREW_LETTER and after == HEBREW_LETTER
    digits = last == NUMERIC and after == NUMERIC
    return digits and (_QUOTE_OR_DOT | 1 << MID_NUM) >> kind & 1 != 0


@njit(cache=True, nogil=True)
def _rest_of_segment(
    text: Bytes, i: int, end: int, table: Properties, entry: int, characters: int
) -> tuple[int, int, int]:
    """`segment_end` by all of the rules, from byte ``i``, behind a character of class ``entry``."""
    flags = entry
    last = entry & CLASS
    if last == CR:
        if i < end and text[i] == 10:
            return i + 1, flags, characters + 1
        return i, flags, characters
    if _LINE_ENDS >> last & 1:
        return i, flags, characters
    joiner = last == ZWJ
    space = last == SPACE
    flag_open = last == REGIONAL_INDICATOR
    bridged = False
    while i < end:
        point, size = decode(text, i, end)
        entry = table[point]
        kind = entry & CLASS
        if _LINE_ENDS >> kind & 1:
            break
        if _IGNORED >> kind & 1:
            joiner = kind == ZWJ
            space = False
        else:
            if (joiner and entry & PICTOGRAPH) or (space and kind == SPACE) or bridged:
                bridged = False
            elif _joined(last, kind):
                pass
            elif kind == REGIONAL_INDICATOR and flag_open:
                flag_open = False
            elif _bridges(last, kind, _class_after(text, i + size, end, table)):
                bridged = True
            elif not (last == HEBREW_LETTER and kind == SINGLE_QUOTE):
                break
            joiner = False
            space = kind == SPACE
            last = kind
        flags |= entry
        characters += 1
        i += size
    return i, flags, characters


@njit(cache=True, nogil=True, inline="always")
def _may_bridge(text: Bytes, i: int, end: int, table: Properties) -> bool:
    """Whether the ASCII character behind a word, not of a word itself, may still lie within it."""
    kind = table[text[i]] & CLASS
    if kind < SINGLE_QUOTE or kind > MID_NUM or i + 1 == end:
        return False
    return bool(text[i + 1] >= 0x80 or table[text[i + 1]] & JOINS)


@njit(cache=True, nogil=True, inline="always")
def segment_end(text: Bytes, i: int, end: int, table: Properties) -> tuple[int, int, int]:
    """The segment that starts at byte ``i``, a boundary.

    Args:
        text: [bytes] UTF-8.
        i: Where the segment starts.
        end: Where the text ends.
        table: `characters.properties`.

    Returns:
        Where it ends, the flags of its characters (any of `WORD`: it is a word), and how many
        characters it has.
    """
    if text[i] >= 0x80:
        point, size = decode(text, i, end)
        return _rest_of_segment(text, i + size, end, table, table[point], 1)
    # Nearly all text is ASCII, where few of the rules matter; the rest is left to all of them.
    entry = table[text[i]]
    flags = entry
    characters = 1
    i += 1
    if entry & JOINS:
        while i < end and text[i] < 0x80 and table[text[i]] & JOINS:
            entry = table[text[i]]
            flags |= entry
            characters += 1
            i += 1
        if i == end or (text[i] < 0x80 and not _may_bridge(text, i, end, table)):
            return i, flags, characters
    elif entry & CLASS == SPACE:
        while i < end and text[i] == 0x20:
            characters += 1
            i += 1
        if i == end or text[i] < 0x80:
            return i, flags, characters
    elif i == end or (text[i] < 0x80 and entry & CLASS != CR):
        return i, flags, characters
    i, more, characters = _rest_of_segment(text, i, end, table, entry, characters)
    return i, flags | more, characters


@njit(cache=True, nogil=True)
def count_words(text: Bytes, offsets: Integers, table: Properties) -> Integers:
    """[texts] how many words each text has."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    for t in range(len(counts)):
        i, end = offsets[t], offsets[t + 1]
        while i < end:
            i, flags, _ = segment_end(text, i, end, table)
            counts[t] += (flags & WORD) != 0
    return counts
