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
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.characters import (
    ALPHABETIC,
    WHITE,
    Bytes,
    Integers,
    Properties,
    decode,
    properties,
)
from olmoflow.curate.text.words import WORD, segment_end

# Columns of a row of measures. Words are Unicode's (UAX #29), PAGE_WORDS those that datamap-rs
# counts for the length of a page: in a text of ASCII, runs of letters and digits. SEGMENTS are
# Unicode's that are not blank; in a text of ASCII, runs of letters and digits, and punctuation
# marks. PIECES are what white space divides, ALPHABETIC_PIECES those with a letter, STOPS those
# that are a stop word in any case; STOP_KINDS is a set of bits, one for each of `STOP_WORDS`.
# MARKS are . ! and ?. LINES are Rust's: the empty one behind the last newline is none.
# PARAGRAPHS are divided by two newlines, and not blank.
(
    CHARACTERS,
    ALPHANUMERICS,
    WORDS,
    PAGE_WORDS,
    SEGMENTS,
    PIECES,
    PIECE_BYTES,
    ALPHABETIC_PIECES,
    STOPS,
    STOP_KINDS,
    SYMBOLS,
    SPACED_DOTS,
    MARKS,
    NEWLINES,
    LINES,
    FILLED_LINES,
    BULLET_LINES,
    ELLIPSIS_LINES,
    PARAGRAPHS,
) = range(19)
_COLUMNS = 19

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
BULLETS = ("●", "•", "*", "-")
SYMBOL_STRINGS = ("#", "...", ". . .", "…")
_PACKED = np.array([int.from_bytes(word.encode(), "little") for word in STOP_WORDS], np.int64)

_DOT, _BLANK, _NEWLINE, _RETURN = ord("."), ord(" "), ord("\n"), ord("\r")
_HASH, _EXCLAMATION, _QUESTION = ord("#"), ord("!"), ord("?")
# Bits that the classes of letters, digits and most symbols of ASCII lack; each of those that may
# lie within a word (``_ ' " . : , ;``) has one.
_INNER = 0b00101


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


@njit(cache=True, nogil=True, inline="always")
def _close_piece(text: Bytes, start: int, end: int, row: Integers) -> None:
    """See whether what white space divides is a stop word; ``start < 0``: there is nothing."""
    if start >= 0 and end - start <= 4:
        stop = _stop_word(text, start, end)
        if stop >= 0:
            row[STOPS] += 1
            row[STOP_KINDS] |= 1 << stop


@njit(cache=True, nogil=True)
def _close_line(text: Bytes, start: int, end: int, newline: bool, row: Integers) -> None:
    """Count a line. A carriage return before its newline is no part of it."""
    row[NEWLINES] += newline
    row[LINES] += newline or end > start
    if end > start:
        row[BULLET_LINES] += _starts_bullet(text, start, end)
        end -= newline and text[end - 1] == _RETURN
        row[FILLED_LINES] += end > start
        row[ELLIPSIS_LINES] += _ends_in_ellipsis(text, start, end)


@njit(cache=True, nogil=True)
def _measure(text: Bytes, offsets: Integers, table: Properties, out: Integers) -> None:
    """Fill ``out`` [texts, columns], zeros, with the measures of each text."""
    for t in range(len(offsets) - 1):
        row = out[t]
        i, end = offsets[t], offsets[t + 1]
        characters = alphanumerics = words = segments = symbols = spaced = marks = 0
        runs = punctuation = paragraphs = pieces = piece_bytes = alphabetic = 0
        after_dots = after_spaced = line = i
        # Where what white space divides started (-1: nothing has), whether it has no letter yet,
        # and whether it will be the first of a paragraph.
        start, without, fresh = -1, True, True
        while i < end:
            byte = text[i]
            if byte == _BLANK and (i + 1 == end or text[i + 1] < 0x80):
                _close_piece(text, start, i, row)
                start = -1
                characters += 1
                i += 1
                continue
            j, flags, size = segment_end(text, i, end, table)
            characters += size
            words += flags & WORD != 0
            if start < 0 and not flags & WHITE:
                start, without = i, True
                pieces += 1
                paragraphs += fresh
                fresh = False
            if flags & WORD and j - i == size and not flags & _INNER:
                # Letters and digits of ASCII.
                alphanumerics += size
                runs += 1
                segments += 1
                piece_bytes += size
                if flags & ALPHABETIC:
                    alphabetic += without
                    without = False
                i = j
                continue
            if byte <= _BLANK and j - i == 1 and flags & WHITE:
                _close_piece(text, start, i, row)
                start = -1
                i = j
                if byte == _NEWLINE:
                    # Two of them in a row have nothing in between.
                    fresh = fresh or (i - 1 == line and line > offsets[t])
                    _close_line(text, line, i - 1, True, row)
                    line = i
                continue
            if byte == _DOT:
                # As `str.count` counts: occurrences do not overlap.
                if i >= after_dots and _dots_at(text, i, end):
                    symbols += 1
                    after_dots = i + 3
                if i >= after_spaced and _spaced_dots_at(text, i, end):
                    spaced += 1
                    after_spaced = i + 5
            elif byte == _HASH or (byte == 0xE2 and _ellipsis_at(text, i, end)):
                symbols += 1
            if j - i == 1:
                # Another character of ASCII, alone.
                segments += 1
                piece_bytes += 1
                punctuation += 0x20 < byte < 0x7F
                marks += byte in (_DOT, _EXCLAMATION, _QUESTION)
                i = j
                continue
            visible = inner = False
            while i < j:
                if text[i] < 0x80:
                    point, size = int(text[i]), 1
                else:
                    point, size = decode(text, i, end)
                flags = table[point]
                if flags & WHITE:
                    _close_piece(text, start, i, row)
                    start = -1
                    inner = False
                else:
                    visible = True
                    if start < 0:
                        start, without = i, True
                        pieces += 1
                        paragraphs += fresh
                        fresh = False
                    piece_bytes += size
                    if flags & ALPHABETIC:
                        alphabetic += without
                        without = False
                    if flags & WORD:
                        alphanumerics += 1
                        runs += not inner
                        inner = True
                    else:
                        inner = False
                        punctuation += 0x20 < point < 0x7F
                        marks += point in (_DOT, _EXCLAMATION, _QUESTION)
                i += size
            segments += visible
            if text[i - 1] == _NEWLINE:  # of the segment "\r\n"
                _close_line(text, line, i - 1, True, row)
                line = i
        _close_piece(text, start, end, row)
        _close_line(text, line, end, False, row)
        ascii_only = characters == end - offsets[t]
        row[CHARACTERS], row[ALPHANUMERICS], row[WORDS] = characters, alphanumerics, words
        row[PAGE_WORDS] = runs if ascii_only else words
        row[SEGMENTS] = runs + punctuation if ascii_only else segments
        row[SYMBOLS], row[SPACED_DOTS], row[MARKS] = symbols + spaced, spaced, marks
        row[PIECES], row[PIECE_BYTES], row[ALPHABETIC_PIECES] = pieces, piece_bytes, alphabetic
        row[PARAGRAPHS] = paragraphs


def measure_strings(text: Bytes, offsets: Integers) -> Integers:
    """[texts, columns] the measures of each text, not kept."""
    out = np.zeros((len(offsets) - 1, _COLUMNS), np.int64)
    _measure(text, offsets, properties(), out)
    return out


class _Kept(threading.local):
    """The last column measured by this thread (which keeps the column alive), and its measures."""

    column: pa.ChunkedArray | None = None
    measures: Integers | None = None


_KEPT = _Kept()


def measures_of(column: pa.ChunkedArray) -> Integers:
    """[texts, columns] the measures of a column of texts; a null is an empty text."""
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
