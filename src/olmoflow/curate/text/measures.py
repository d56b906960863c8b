"""Counts of a text that many filters look at, made in one pass over it.

Length, word, symbol, bullet, ellipsis and stop-word filters all read the same row of numbers. A
batch's rows are kept until the next batch (or a changed text) comes, so a pipeline of such filters
reads the text once. `keep_rows` drops documents without having the rest measured again.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.characters import (
    ALPHABETIC,
    WHITE,
    Bytes,
    Integers,
    Properties,
    properties,
)
from olmoflow.curate.text.words import WORD, segment_end

# Columns of a row of measures. A line is what newlines divide; blank ones do not count. Paragraphs
# are divided by blank lines. A segment is a word, or a run of Unicode's word boundaries that is
# neither a word nor white space. STOP_KINDS is a set of bits, one for each of `STOP_WORDS`.
(
    CHARACTERS,
    WORDS,
    WORD_CHARACTERS,
    ALPHABETIC_WORDS,
    SEGMENTS,
    SYMBOLS,
    STOPS,
    STOP_KINDS,
    LINES,
    BULLET_LINES,
    ELLIPSIS_LINES,
    PARAGRAPHS,
) = range(12)
_COLUMNS = 12

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("●", "•", "*", "-")
SYMBOL_STRINGS = ("#", "...", ". . .", "…")
_PACKED = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.int64)

_DOT, _BLANK, _NEWLINE = ord("."), ord(" "), ord("\n")


@njit(cache=True, nogil=True, inline="always")
def _stop_word(text: Bytes, i: int, end: int) -> int:
    """Which stop word ``text[i:end]`` is, in any case; -1 if none."""
    if end - i > 4 or end - i < 2:
        return -1
    packed = 0
    for k in range(end - i):
        packed |= (text[i + k] | 0x20) << (8 * k)
    for k in range(len(_PACKED)):
        if _PACKED[k] == packed:
            return k
    return -1


@njit(cache=True, nogil=True)
def _starts_bullet(text: Bytes, i: int, end: int) -> bool:
    if text[i] == ord("*") or text[i] == ord("-"):
        return True
    if end - i < 3 or text[i] != 0xE2:
        return False
    second, third = text[i + 1], text[i + 2]
    return bool((second == 0x97 and third == 0x8F) or (second == 0x80 and third == 0xA2))


@njit(cache=True, nogil=True, inline="always")
def _dots_at(text: Bytes, i: int, end: int) -> bool:
    return bool(end - i >= 3 and text[i] == _DOT and text[i + 1] == _DOT and text[i + 2] == _DOT)


@njit(cache=True, nogil=True, inline="always")
def _spaced_dots_at(text: Bytes, i: int, end: int) -> bool:
    return (
        end - i >= 5
        and text[i] == _DOT
        and text[i + 1] == _BLANK
        and text[i + 2] == _DOT
        and text[i + 3] == _BLANK
        and text[i + 4] == _DOT
    )


@njit(cache=True, nogil=True, inline="always")
def _ellipsis_at(text: Bytes, i: int, end: int) -> bool:
    """Whether the character … (U+2026) is here."""
    return end - i >= 3 and text[i] == 0xE2 and text[i + 1] == 0x80 and text[i + 2] == 0xA6


@njit(cache=True, nogil=True)
def _ends_in_ellipsis(text: Bytes, start: int, end: int) -> bool:
    return (
        end - start >= 3 and (_dots_at(text, end - 3, end) or _ellipsis_at(text, end - 3, end))
    ) or (end - start >= 5 and _spaced_dots_at(text, end - 5, end))


@njit(cache=True, nogil=True)
def _close_line(text: Bytes, first: int, last: int, blank: bool, row: Integers) -> None:
    """Count a line whose text without white space around it is ``text[first:last]``, if any."""
    if first >= 0:
        row[LINES] += 1
        row[BULLET_LINES] += _starts_bullet(text, first, last)
        row[ELLIPSIS_LINES] += _ends_in_ellipsis(text, first, last)
        row[PARAGRAPHS] += blank


@njit(cache=True, nogil=True)
def _measure(text: Bytes, offsets: Integers, table: Properties, out: Integers) -> None:
    """Fill ``out`` [texts, 12], zeros, with the measures of each text."""
    for t in range(len(offsets) - 1):
        row = out[t]
        i, end = offsets[t], offsets[t + 1]
        characters = words = word_characters = alphabetic = segments = symbols = 0
        after_dots = after_spaced = i
        # First and last byte of what is not white space in this line (-1: nothing yet), and
        # whether the line before was blank.
        first, last, blank = -1, -1, True
        while i < end:
            byte = text[i]
            if byte == _BLANK and (i + 1 == end or text[i + 1] < 0x80):
                characters += 1
                i += 1
                continue
            j, flags, size = segment_end(text, i, end, table)
            characters += size
            if flags & WORD:
                words += 1
                word_characters += size
                alphabetic += flags & ALPHABETIC != 0
                stop = _stop_word(text, i, j)
                if stop >= 0:
                    row[STOPS] += 1
                    row[STOP_KINDS] |= 1 << stop
            elif byte == ord("#") or _ellipsis_at(text, i, end):
                symbols += 1
            elif byte == _DOT:
                # As `str.count` counts: occurrences do not overlap.
                if i >= after_dots and _dots_at(text, i, end):
                    symbols += 1
                    after_dots = i + 3
                if i >= after_spaced and _spaced_dots_at(text, i, end):
                    symbols += 1
                    after_spaced = i + 5
            if flags & WORD or not flags & WHITE:
                segments += 1
                last = j
                if first < 0:
                    first = i
            i = j
            if text[i - 1] == _NEWLINE:
                _close_line(text, first, last, blank, row)
                first, blank = -1, first < 0
        _close_line(text, first, last, blank, row)
        row[CHARACTERS], row[WORDS], row[WORD_CHARACTERS] = characters, words, word_characters
        row[ALPHABETIC_WORDS], row[SEGMENTS], row[SYMBOLS] = alphabetic, segments, symbols


def measure_strings(text: Bytes, offsets: Integers) -> Integers:
    """[texts, 12] the measures of each text, not kept."""
    out = np.zeros((len(offsets) - 1, _COLUMNS), np.int64)
    _measure(text, offsets, properties(), out)
    return out


class _Kept(threading.local):
    """The last column measured by this thread (which keeps the column alive), and its measures."""

    column: pa.ChunkedArray | None = None
    measures: Integers | None = None


_KEPT = _Kept()


def measures_of(column: pa.ChunkedArray) -> Integers:
    """[texts, 12] the measures of a column of texts; a null is an empty text."""
    if _KEPT.column is not None and _KEPT.measures is not None and same(_KEPT.column, column):
        return _KEPT.measures
    measures = measure_strings(*strings_of(column))
    _KEPT.column, _KEPT.measures = column, measures
    return measures


def keep_rows(documents: pa.Table, keep: NDArray[np.bool_]) -> pa.Table:
    """The documents that stay. What has been measured of them is not measured again."""
    if keep.all():
        return documents
    kept = documents.filter(pa.array(keep))
    if _KEPT.column is not None and _KEPT.measures is not None:
        for place, column in enumerate(documents.columns):
            if same(_KEPT.column, column):
                _KEPT.column, _KEPT.measures = kept.column(place), _KEPT.measures[keep]
                break
    return kept


def same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns are the same memory."""
    return one is other or (one.type == other.type and _places(one) == _places(other))


def _places(column: pa.ChunkedArray) -> list[Any]:
    return [
        (chunk.offset, len(chunk), [buffer and buffer.address for buffer in chunk.buffers()])
        for chunk in column.chunks
    ]
