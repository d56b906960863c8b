"""Where sentences end.

The usual cases of Unicode's sentence boundary rules (UAX #29): a sentence ends at a newline, and
behind ``. ! ? …`` and their full-width forms, with the quotes and brackets that close there, if
white space follows and the next letter is not lowercase. Full-width ends need no white space.
Abbreviations before a capital letter ("Dr. No") are cut, as those rules do.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from olmoflow.curate.strings import Strings
from olmoflow.curate.text.characters import (
    LOWERCASE,
    WHITE,
    Bytes,
    Integers,
    Properties,
    decode,
    properties,
)
from olmoflow.curate.text.lines import Lines


def split_sentences(texts: Strings) -> Lines:
    """Sentences, without the white space around them; a text may have none."""
    table = properties()
    # A sentence has a byte, and a newline or another byte behind it.
    most = int(texts.offsets[-1] - texts.offsets[0]) // 2 + texts.number + 1
    bounds = np.empty((most, 2), np.int64)
    first = np.zeros(texts.number + 1, np.int64)
    number = _sentences(texts.data, texts.offsets, table, bounds, first)
    offsets = np.zeros(number + 1, np.int64)
    np.cumsum(bounds[:number, 1] - bounds[:number, 0], out=offsets[1:])
    data = np.empty(offsets[-1], np.uint8)
    _copy(texts.data, bounds[:number], offsets, data)
    return Lines(Strings(data, offsets), first)


@njit(cache=True, nogil=True)
def _copy(text: Bytes, bounds: Integers, offsets: Integers, data: Bytes) -> None:
    for s in range(len(bounds)):
        for i in range(bounds[s, 1] - bounds[s, 0]):
            data[offsets[s] + i] = text[bounds[s, 0] + i]


@njit(cache=True, nogil=True)
def _ends(point: int) -> int:
    """1: may end a sentence, 2: does so without white space, 0: does not."""
    if point == 0x2E or point == 0x21 or point == 0x3F or point == 0x2026:
        return 1
    return 2 if point == 0x3002 or point == 0xFF01 or point == 0xFF1F or point == 0xFF0E else 0


@njit(cache=True, nogil=True)
def _closes(point: int) -> bool:
    """Quotes and brackets that may stand behind the end of a sentence."""
    if point < 0x80:
        return point == 0x22 or point == 0x27 or point == 0x29 or point == 0x5D or point == 0x7D
    return point == 0x2019 or point == 0x201D or point == 0xBB or point == 0x300D or point == 0x300F


@njit(cache=True, nogil=True)
def _sentence_end(text: Bytes, i: int, end: int, table: Properties) -> tuple[int, int]:
    """Where the sentence around byte ``i`` ends, and where one may go on to look."""
    point, size = decode(text, i, end)
    strength = _ends(point)
    i += size
    while i < end:
        point, size = decode(text, i, end)
        if _ends(point):
            strength = max(strength, _ends(point))
        elif not _closes(point):
            break
        i += size
    stop = i
    while i < end:
        point, size = decode(text, i, end)
        if not table[point] & WHITE or point == 10:
            break
        i += size
    if i == end or point == 10 or strength == 2:
        return stop, i
    return (stop, i) if i > stop and not table[point] & LOWERCASE else (-1, i)


@njit(cache=True, nogil=True)
def _sentences(
    text: Bytes, offsets: Integers, table: Properties, bounds: Integers, first: Integers
) -> int:
    number = 0
    for t in range(len(offsets) - 1):
        i, end = offsets[t], offsets[t + 1]
        start, last = -1, -1  # of what is not white space
        while i < end:
            # Nearly all bytes are those of ASCII letters, and say nothing.
            if start >= 0 and 0x41 <= text[i] <= 0x7A:
                i += 1
                last = i
                continue
            if text[i] < 0x80:
                point, size = int(text[i]), 1
            else:
                point, size = decode(text, i, end)
            if point == 10:
                if start >= 0:
                    bounds[number, 0], bounds[number, 1] = start, last
                    number += 1
                    start = -1
                i += 1
            elif table[point] & WHITE:
                i += size
            else:
                if start < 0:
                    start = i
                i += size
                last = i
                if _ends(point):
                    stop, i = _sentence_end(text, i - size, end, table)
                    if stop >= 0:
                        bounds[number, 0], bounds[number, 1] = start, stop
                        number += 1
                        start = -1
                    else:
                        last = max(last, _trimmed(text, last, i, table))
        if start >= 0:
            bounds[number, 0], bounds[number, 1] = start, last
            number += 1
        first[t + 1] = number
    return number


@njit(cache=True, nogil=True)
def _trimmed(text: Bytes, i: int, end: int, table: Properties) -> int:
    """End of what is not white space in ``text[i:end]``; ``i`` if there is nothing."""
    last = i
    while i < end:
        point, size = decode(text, i, end)
        i += size
        if not table[point] & WHITE:
            last = i
    return last
