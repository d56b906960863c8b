"""Properties of characters, in one table that compiled loops look up.

An entry's low five bits are the class of Unicode's word boundary rules (UAX #29, property
Word_Break), the others are flags. The properties come from the package ``regex``, which brings
Unicode's tables with it; the standard library has neither Word_Break nor Alphabetic.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Properties = NDArray[np.uint16]

(
    OTHER,
    CR,
    LF,
    NEWLINE,
    EXTEND,
    ZWJ,
    FORMAT,
    REGIONAL_INDICATOR,
    KATAKANA,
    HEBREW_LETTER,
    LETTER,
    SINGLE_QUOTE,
    DOUBLE_QUOTE,
    MID_NUM_LET,
    MID_LETTER,
    MID_NUM,
    NUMERIC,
    EXTEND_NUM_LET,
    SPACE,
) = range(19)
CLASS = 31
PICTOGRAPH, ALPHABETIC, NUMBER, UPPERCASE, LOWERCASE, WHITE = (1 << k for k in range(5, 11))
# Classes of which any two neighbours belong to one word.
JOINS = 1 << 11
DIGIT = 1 << 12  # from 0 to 9, of no other script

_CLASSES = {
    CR: "CR",
    LF: "LF",
    NEWLINE: "Newline",
    EXTEND: "Extend",
    ZWJ: "ZWJ",
    FORMAT: "Format",
    REGIONAL_INDICATOR: "Regional_Indicator",
    KATAKANA: "Katakana",
    HEBREW_LETTER: "Hebrew_Letter",
    LETTER: "ALetter",
    SINGLE_QUOTE: "Single_Quote",
    DOUBLE_QUOTE: "Double_Quote",
    MID_NUM_LET: "MidNumLet",
    MID_LETTER: "MidLetter",
    MID_NUM: "MidNum",
    NUMERIC: "Numeric",
    EXTEND_NUM_LET: "ExtendNumLet",
    SPACE: "WSegSpace",
}
_FLAGS = {
    PICTOGRAPH: "Extended_Pictographic",
    ALPHABETIC: "Alphabetic",
    NUMBER: "N",
    UPPERCASE: "Uppercase",
    LOWERCASE: "Lowercase",
    WHITE: "White_Space",
}
# No other planes have characters, but for private use.
_ASSIGNED = ((0, 0x40000), (0xE0000, 0xE1000))
_JOINING = (HEBREW_LETTER, LETTER, NUMERIC, EXTEND_NUM_LET)


@cache
def properties() -> Properties:
    """[0x110000] the class and flags of every code point."""
    import regex

    table = np.zeros(0x110000, np.uint16)
    values = {rf"\p{{WB={name}}}+": value for value, name in _CLASSES.items()}
    values |= {rf"\p{{{name}}}+": flag for flag, name in _FLAGS.items()}
    for first, last in _ASSIGNED:
        every = "".join(map(chr, range(first, last)))
        for pattern, value in values.items():
            for found in regex.finditer(pattern, every):
                table[first + found.start() : first + found.end()] |= value
    table[np.isin(table & CLASS, _JOINING)] |= JOINS
    table[ord("0") : ord("9") + 1] |= DIGIT
    return table


@cache
def unspaced() -> NDArray[np.bool_]:
    """[0x110000] letters of scripts that put no spaces between words: Han, Hiragana, Thai, Khmer …

    They are those that Unicode's word boundaries join to no other, as each is a word or a part of
    one that only a dictionary tells. Katakana and Hangul are not among them.
    """
    table = properties()
    return np.asarray(((table & CLASS) == OTHER) & ((table & ALPHABETIC) > 0))


@njit(cache=True, nogil=True)
def decode(text: Bytes, i: int, end: int) -> tuple[int, int]:
    """The code point that starts at byte ``i``, and its bytes.

    A byte that starts none, and a character that ``end`` cuts, is one byte of U+FFFD.
    """
    first = text[i]
    if first < 0x80:
        return int(first), 1
    if 0xC0 <= first < 0xE0 and i + 1 < end:
        return (first & 0x1F) << 6 | (text[i + 1] & 0x3F), 2
    if 0xE0 <= first < 0xF0 and i + 2 < end:
        return (first & 0x0F) << 12 | (text[i + 1] & 0x3F) << 6 | (text[i + 2] & 0x3F), 3
    if 0xF0 <= first < 0xF5 and i + 3 < end:
        point = (first & 0x07) << 18 | (text[i + 1] & 0x3F) << 12
        point |= (text[i + 2] & 0x3F) << 6 | (text[i + 3] & 0x3F)
        return (point, 4) if point < 0x110000 else (0xFFFD, 1)
    return 0xFFFD, 1
