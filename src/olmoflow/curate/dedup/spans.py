"""Which bytes of a document go, once it is known which strings stand elsewhere too; compiled.

A span is [start, end) in bytes. The later copies of repeated strings are joined, gaps included,
where they cover most of what lies between them; what belongs to a first copy is taken out again,
so each repeated string stays once in full.
"""

from __future__ import annotations

import numpy as np

from olmoflow.compiled import njit
from olmoflow.curate.dedup.components import Integers
from olmoflow.curate.dedup.suffixes import FIRST, LATER
from olmoflow.curate.dedup.words import Bytes


@njit(cache=True, nogil=True)
def removals(
    text: Bytes, starts: Integers, ends: Integers, kinds: Bytes, length: int, coverage: float
) -> Integers:
    """The spans to remove from each document.

    Args:
        text: Documents.
        starts: [documents], where each starts in the text.
        ends: [documents], where it ends.
        kinds: From `suffixes.repeats`.
        length: Bytes of a repeated string.
        coverage: Share of a joined span that repeated strings cover at least.

    Returns:
        [spans, 3], document, start and end in it, ascending, between whole characters.
    """
    found = np.empty((64, 3), np.int64)
    count = 0
    for document in range(len(starts)):
        start, end = starts[document], ends[document]
        later = _covered(kinds, start, end, LATER, length)
        if not len(later):
            continue
        joined = union(fuzzy_forward(later, coverage), fuzzy_backward(later, coverage))
        spans = without(joined, _covered(kinds, start, end, FIRST, length))
        for k in range(len(spans)):
            low, high = _whole_characters(text, spans[k, 0], spans[k, 1], end)
            if low >= high:
                continue
            if count == len(found):
                grown = np.empty((2 * count, 3), np.int64)
                grown[:count] = found
                found = grown
            found[count, 0], found[count, 1], found[count, 2] = document, low - start, high - start
            count += 1
    return found[:count].copy()


@njit(cache=True, nogil=True)
def _covered(kinds: Bytes, start: int, end: int, kind: int, length: int) -> Integers:
    """The union of all strings of a kind that begin in a document."""
    # Two that do not touch are longer than `length` apart, from start to start.
    spans = np.empty(((end - start) // length + 1, 2), np.int64)
    count = 0
    for place in range(start, end):
        if kinds[place] == kind:
            if count == 0 or place > spans[count - 1, 1]:
                spans[count, 0] = place
                count += 1
            spans[count - 1, 1] = place + length
    return spans[:count]


@njit(cache=True, nogil=True)
def fuzzy_forward(spans: Integers, coverage: float) -> Integers:
    """Join each span with those after it as long as they cover enough of the whole."""
    joined = np.empty_like(spans)
    count, covered = 0, 0
    for k in range(len(spans)):
        start, end = spans[k, 0], spans[k, 1]
        if count and covered + end - start >= coverage * (end - joined[count - 1, 0]):
            joined[count - 1, 1] = end
            covered += end - start
        else:
            joined[count, 0], joined[count, 1] = start, end
            covered = end - start
            count += 1
    return joined[:count]


@njit(cache=True, nogil=True)
def fuzzy_backward(spans: Integers, coverage: float) -> Integers:
    """`fuzzy_forward` from the last span on, in ascending order as well."""
    return -fuzzy_forward(-spans[::-1, ::-1], coverage)[::-1, ::-1]


@njit(cache=True, nogil=True)
def union(left: Integers, right: Integers) -> Integers:
    """What lies in one of two ascending lists of spans."""
    joined = np.empty((len(left) + len(right), 2), np.int64)
    count = i = j = 0
    while i < len(left) or j < len(right):
        if j == len(right) or (i < len(left) and left[i, 0] <= right[j, 0]):
            start, end = left[i, 0], left[i, 1]
            i += 1
        else:
            start, end = right[j, 0], right[j, 1]
            j += 1
        if count and start <= joined[count - 1, 1]:
            joined[count - 1, 1] = max(joined[count - 1, 1], end)
        else:
            joined[count, 0], joined[count, 1] = start, end
            count += 1
    return joined[:count]


@njit(cache=True, nogil=True)
def without(spans: Integers, kept: Integers) -> Integers:
    """What of some ascending spans lies in none of others."""
    left = np.empty((len(spans) + len(kept), 2), np.int64)
    count = j = 0
    for k in range(len(spans)):
        start, end = spans[k, 0], spans[k, 1]
        while j < len(kept) and kept[j, 1] <= start:
            j += 1
        i = j
        while i < len(kept) and kept[i, 0] < end:
            if kept[i, 0] > start:
                left[count, 0], left[count, 1] = start, kept[i, 0]
                count += 1
            start = max(start, kept[i, 1])
            i += 1
        if start < end:
            left[count, 0], left[count, 1] = start, end
            count += 1
    return left[:count]


@njit(cache=True, nogil=True)
def _whole_characters(text: Bytes, start: int, end: int, last: int) -> tuple[int, int]:
    """A span without the characters of which it has only a part."""
    while start < end and text[start] & 0xC0 == 0x80:
        start += 1
    while end > start and end < last and text[end] & 0xC0 == 0x80:
        end -= 1
    return start, end


@njit(cache=True, nogil=True)
def cut(data: Bytes, offsets: Integers, spans: Integers, result: Bytes, starts: Integers) -> None:
    """Copy texts without their spans.

    Args:
        data: Texts.
        offsets: [texts + 1], where each starts.
        spans: [spans, 3], text, start and end in it, ascending.
        result: Receives what is left; as long as the data.
        starts: [texts + 1], receives where each text starts in it.
    """
    total = k = 0
    for document in range(len(offsets) - 1):
        starts[document] = total
        place, end = offsets[document], offsets[document + 1]
        while place < end:
            stop, resume = end, end
            if k < len(spans) and spans[k, 0] == document:
                stop = offsets[document] + spans[k, 1]
                resume = offsets[document] + spans[k, 2]
                k += 1
            for i in range(place, stop):
                result[total] = data[i]
                total += 1
            place = resume
    starts[len(offsets) - 1] = total
