"""Texts cut at full stops: behind ``. ! ?`` where white space follows, whatever comes then.

This is how datamap-rs cuts them for MADLAD-400's rules.
"""

from __future__ import annotations

import numpy as np

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings
from olmoflow.curate.text.characters import (
    UPPERCASE,
    WHITE,
    Bytes,
    Integers,
    Properties,
    decode,
    properties,
)
from olmoflow.curate.text.lines import Lines
from olmoflow.curate.text.words import WORD, segment_end

# [128] which ASCII characters are technical.
_TECHNICAL = np.array([chr(byte) in "0123456789{}+/()>" for byte in range(128)])


def split_sentences(texts: Strings) -> Lines:
    """Sentences: what stands between full stops, and these with the white space behind them.

    White space elsewhere remains, but what is nothing else is no sentence; a text may have none.
    """
    # Between two sentences are at least two bytes.
    most = int(texts.offsets[-1] - texts.offsets[0]) // 2 + texts.number + 1
    bounds = np.empty((most, 2), np.int64)
    first = np.zeros(texts.number + 1, np.int64)
    number = _sentences(texts.data, texts.offsets, properties(), bounds, first)
    offsets = np.zeros(number + 1, np.int64)
    np.cumsum(bounds[:number, 1] - bounds[:number, 0], out=offsets[1:])
    data = np.empty(offsets[-1], np.uint8)
    _copy(texts.data, bounds[:number], offsets, data)
    return Lines(Strings(data, offsets), first)


def count_in_sentences(sentences: Strings) -> Integers:
    """[sentences, 3] technical characters, words, and words that start with a capital letter."""
    counts = np.zeros((sentences.number, 3), np.int64)
    _count(sentences.data, sentences.offsets, properties(), counts)
    return counts


@njit(cache=True, nogil=True)
def _copy(text: Bytes, bounds: Integers, offsets: Integers, data: Bytes) -> None:
    for s in range(len(bounds)):
        for i in range(bounds[s, 1] - bounds[s, 0]):
            data[offsets[s] + i] = text[bounds[s, 0] + i]


@njit(cache=True, nogil=True)
def _stops(byte: int) -> bool:
    return byte == 0x2E or byte == 0x21 or byte == 0x3F


@njit(cache=True, nogil=True)
def _white_end(text: Bytes, i: int, end: int, table: Properties) -> int:
    """Where the white space that starts at byte ``i`` ends."""
    while i < end:
        point, size = decode(text, i, end)
        if not table[point] & WHITE:
            break
        i += size
    return i


@njit(cache=True, nogil=True)
def _sentences(
    text: Bytes, offsets: Integers, table: Properties, bounds: Integers, first: Integers
) -> int:
    number = 0
    for t in range(len(offsets) - 1):
        i, end = offsets[t], offsets[t + 1]
        start = i
        while start < end:
            while i < end and not _stops(text[i]):
                i += 1
            stop = i
            while i < end and _stops(text[i]):
                i += 1
            after = _white_end(text, i, end, table)
            if after == i and i < end:
                continue
            if after == i:  # the text ends, with or without a full stop
                stop = end
            if _white_end(text, start, stop, table) < stop:
                bounds[number, 0], bounds[number, 1] = start, stop
                number += 1
            start = i = after
        first[t + 1] = number
    return number


@njit(cache=True, nogil=True)
def _count(text: Bytes, offsets: Integers, table: Properties, counts: Integers) -> None:
    for s in range(len(counts)):
        i, end = offsets[s], offsets[s + 1]
        while i < end:
            j, flags, _ = segment_end(text, i, end, table)
            for k in range(i, j):
                counts[s, 0] += text[k] < 0x80 and _TECHNICAL[text[k]]
            if flags & WORD:
                point, _ = decode(text, i, end)
                counts[s, 1] += 1
                counts[s, 2] += table[point] & UPPERCASE != 0
            i = j
