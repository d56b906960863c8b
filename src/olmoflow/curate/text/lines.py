"""Texts cut into lines, and joined again from those that stay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings
from olmoflow.curate.text.characters import (
    WHITE,
    Bytes,
    Integers,
    Properties,
    decode,
    properties,
)
from olmoflow.curate.text.words import WORD, segment_end

Mask = NDArray[np.bool_]
_NEWLINE, _RETURN = 10, 13


class Lines(NamedTuple):
    """Lines of many texts. Newlines divide them and belong to none.

    Attributes:
        strings: All lines, one after the other.
        first: [texts + 1], the number of each text's first line. Every text has at least one.
    """

    strings: Strings
    first: Integers


def split_lines(texts: Strings) -> Lines:
    """Cut texts at their newlines; the lines are a copy."""
    first = _lines_before(texts.data, texts.offsets)
    newlines = first[-1] - texts.number
    size = int(texts.offsets[-1] - texts.offsets[0] - newlines)
    data, offsets = np.empty(size, np.uint8), np.empty(first[-1] + 1, np.int64)
    _split(texts.data, texts.offsets, data, offsets)
    return Lines(Strings(data, offsets), first)


def join_lines(lines: Lines, keep: Mask) -> Strings:
    """Texts from those of their lines that stay.

    Args:
        lines: The lines.
        keep: [lines], which of them stay.
    """
    data = np.empty(len(lines.strings.data) + len(keep), np.uint8)
    offsets = np.zeros(len(lines.first), np.int64)
    size = _join(lines.strings.data, lines.strings.offsets, lines.first, keep, data, offsets)
    return Strings(data[:size], offsets)


def lines_by_share(texts: Strings, property_: int, most: float) -> Mask:
    """[lines] which lines have few characters with a property, for their bytes.

    Args:
        texts: The texts, whose lines are counted as `split_lines` does.
        property_: A flag of `characters`.
        most: The most such characters to a byte, in single precision; an empty line stays.
    """
    keep = np.empty(_lines_before(texts.data, texts.offsets)[-1], np.bool_)
    _keep_by_share(texts.data, texts.offsets, properties(), property_, most, keep)
    return keep


def lines_by_words(texts: Strings, fewest: int) -> Mask:
    """[lines] which lines have at least so many words, or not a single byte."""
    keep = np.empty(_lines_before(texts.data, texts.offsets)[-1], np.bool_)
    _keep_by_words(texts.data, texts.offsets, properties(), fewest, keep)
    return keep


def drop_lines(texts: Strings, keep: Mask) -> Strings:
    """Texts without some of their lines.

    Args:
        texts: The texts.
        keep: [lines], which lines stay.
    """
    data = np.empty(texts.offsets[-1] - texts.offsets[0], np.uint8)
    ends = np.zeros(texts.number + 1, np.int64)
    size = _drop(texts.data, texts.offsets, keep, data, ends)
    return Strings(data[:size], ends)


def collapse_newlines(texts: Strings, most: int) -> Strings:
    """Texts in which no more than ``most`` newlines follow each other."""
    data = np.empty(texts.offsets[-1] - texts.offsets[0], np.uint8)
    offsets = np.zeros(texts.number + 1, np.int64)
    size = _collapse(texts.data, texts.offsets, most, data, offsets)
    return Strings(data[:size], offsets)


@njit(cache=True, nogil=True)
def _lines_before(text: Bytes, offsets: Integers) -> Integers:
    first = np.zeros(len(offsets), np.int64)
    for t in range(len(offsets) - 1):
        count = 1
        for i in range(offsets[t], offsets[t + 1]):
            count += text[i] == _NEWLINE
        first[t + 1] = first[t] + count
    return first


@njit(cache=True, nogil=True)
def _split(text: Bytes, offsets: Integers, data: Bytes, ends: Integers) -> None:
    size, line = 0, 0
    ends[0] = 0
    for t in range(len(offsets) - 1):
        for i in range(offsets[t], offsets[t + 1]):
            if text[i] == _NEWLINE:
                line += 1
                ends[line] = size
            else:
                data[size] = text[i]
                size += 1
        line += 1
        ends[line] = size


@njit(cache=True, nogil=True)
def _join(
    text: Bytes, ends: Integers, first: Integers, keep: Mask, data: Bytes, offsets: Integers
) -> int:
    size = 0
    for t in range(len(first) - 1):
        begun = False
        for line in range(first[t], first[t + 1]):
            if keep[line]:
                if begun:
                    data[size] = _NEWLINE
                    size += 1
                begun = True
                for i in range(ends[line], ends[line + 1]):
                    data[size] = text[i]
                    size += 1
        offsets[t + 1] = size
    return size


@njit(cache=True, nogil=True)
def _collapse(text: Bytes, offsets: Integers, most: int, data: Bytes, ends: Integers) -> int:
    size = 0
    for t in range(len(offsets) - 1):
        run = 0
        for i in range(offsets[t], offsets[t + 1]):
            run = run + 1 if text[i] == _NEWLINE else 0
            if run <= most:
                data[size] = text[i]
                size += 1
        ends[t + 1] = size
    return size


@njit(cache=True, nogil=True)
def most_newlines(text: Bytes, offsets: Integers) -> Integers:
    """[texts] how many newlines follow each other at most."""
    most = np.zeros(len(offsets) - 1, np.int64)
    for t in range(len(most)):
        run = 0
        for i in range(offsets[t], offsets[t + 1]):
            run = run + 1 if text[i] == _NEWLINE else 0
            if run > most[t]:
                most[t] = run
    return most


@njit(cache=True, nogil=True)
def _few(found: int, size: int, most: float) -> bool:
    """Whether so many of so many bytes are few, in single precision as datamap-rs divides."""
    return size == 0 or bool(np.float32(found) / np.float32(size) <= np.float32(most))


@njit(cache=True, nogil=True)
def _keep_by_share(
    text: Bytes, offsets: Integers, table: Properties, property_: int, most: float, keep: Mask
) -> None:
    line = 0
    for t in range(len(offsets) - 1):
        i, end = offsets[t], offsets[t + 1]
        start, found = i, 0
        while i < end:
            if text[i] < 0x80:
                point, size = int(text[i]), 1
            else:
                point, size = decode(text, i, end)
            if point == _NEWLINE:
                keep[line] = _few(found, i - start, most)
                line += 1
                start, found = i + 1, 0
            else:
                found += table[point] & property_ != 0
            i += size
        keep[line] = _few(found, end - start, most)
        line += 1


@njit(cache=True, nogil=True)
def _keep_by_words(
    text: Bytes, offsets: Integers, table: Properties, fewest: int, keep: Mask
) -> None:
    line = 0
    for t in range(len(offsets) - 1):
        i, end = offsets[t], offsets[t + 1]
        start, words = i, 0
        while i < end:
            if text[i] == _NEWLINE:
                keep[line] = words >= fewest or i == start
                line += 1
                words = 0
                i += 1
                start = i
            elif words >= fewest:
                i += 1
            else:
                i, flags, _ = segment_end(text, i, end, table)
                words += flags & WORD != 0
                if text[i - 1] == _NEWLINE:  # of the segment "\r\n"
                    i -= 1
        keep[line] = words >= fewest or start == end
        line += 1


@njit(cache=True, nogil=True)
def has_full_line(text: Bytes, offsets: Integers) -> Mask:
    """[texts] whether a text has anything but newlines."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    for t in range(len(found)):
        for i in range(offsets[t], offsets[t + 1]):
            if text[i] != _NEWLINE:
                found[t] = True
                break
    return found


@njit(cache=True, nogil=True)
def has_untidy_lines(text: Bytes, offsets: Integers, table: Properties) -> Mask:
    """[texts] whether a text ends in a newline, or has a line that ends in ``CR LF`` or is blank.

    Blank is a line of white space alone, not one without a byte.
    """
    found = np.zeros(len(offsets) - 1, np.bool_)
    for t in range(len(found)):
        start, end = offsets[t], offsets[t + 1]
        if start < end and text[end - 1] == _NEWLINE:
            found[t] = True
        elif start < end and (_may_be_white(text[start]) or _may_be_untidy(text[start:end])):
            found[t] = _untidy(text, start, end, table)
    return found


@njit(cache=True, nogil=True, inline="always")
def _may_be_white(byte: int) -> bool:
    """Whether a character of white space, but no newline, may start with a byte."""
    return (byte <= 0x20 and byte != _NEWLINE) or byte == 0xC2 or (0xE1 <= byte <= 0xE3)


@njit(cache=True, nogil=True)
def _may_be_untidy(text: Bytes) -> bool:
    """Whether a line but the first starts with what may be white, or one ends in ``CR LF``."""
    untidy = False
    for i in range(len(text) - 1):
        byte, after = text[i], text[i + 1]
        white = ((after <= 0x20) & (after != _NEWLINE)) | (after == 0xC2)
        white |= (after >= 0xE1) & (after <= 0xE3)
        untidy |= ((byte == _NEWLINE) & white) | ((byte == _RETURN) & (after == _NEWLINE))
    return untidy


@njit(cache=True, nogil=True)
def _untidy(text: Bytes, i: int, end: int, table: Properties) -> bool:
    while i < end:
        start, white = i, True
        # The line's first character that is not white space decides; the rest is passed over.
        while i < end and text[i] != _NEWLINE:
            if white:
                point, size = decode(text, i, end)
                white = table[point] & WHITE != 0
                i += size
            else:
                i += 1
        if i > start and (white or (i < end and text[i - 1] == _RETURN)):
            return True
        i += 1
    return False


@njit(cache=True, nogil=True)
def _drop(text: Bytes, offsets: Integers, keep: Mask, data: Bytes, ends: Integers) -> int:
    size, line = 0, 0
    for t in range(len(offsets) - 1):
        begun = False
        wanted = keep[line]
        for i in range(offsets[t], offsets[t + 1]):
            if text[i] == _NEWLINE:
                begun |= wanted
                line += 1
                wanted = keep[line]
                if wanted and begun:
                    data[size] = _NEWLINE
                    size += 1
            elif wanted:
                data[size] = text[i]
                size += 1
        line += 1
        ends[t + 1] = size
    return size
