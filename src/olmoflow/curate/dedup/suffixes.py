"""Strings that stand in several places, by a suffix array, and the spans to remove, compiled.

Documents lie one after the other, each followed by a byte that no UTF-8 has. In the order of all
suffixes, those that begin with the same ``length`` bytes are neighbours. The first of them in the
text is the copy that stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydivsufsort import divsufsort

from olmoflow.compiled import njit
from olmoflow.curate.dedup.components import Integers
from olmoflow.curate.dedup.words import Bytes

# Stands behind each document.
END = 0xFF
# What begins at a byte: nothing repeated, the first of equal strings, a later one.
ONCE, FIRST, LATER = range(3)


def repeats(text: Bytes, ends: Integers, length: int) -> Bytes:
    """What begins at each byte of ``text``: `ONCE`, `FIRST` or `LATER`.

    Memory: the text, two arrays of 4 bytes for each byte of it (8 from 2 GiB on), and the result.

    Args:
        text: Documents, each followed by `END`.
        ends: [documents], where that is.
        length: Bytes of the strings that are looked for.
    """
    kinds = np.zeros(len(text), np.uint8)
    if len(text):
        order = divsufsort(text)
        _mark(text, ends, order, _common_with_previous(text, order), length, kinds)
    return kinds


@njit(cache=True, nogil=True)
def _common_with_previous(text: Bytes, order: NDArray[Any]) -> NDArray[Any]:
    """For each suffix, the bytes it shares with the one before it in the order.

    Kärkkäinen, Manzini and Puglisi, "Permuted Longest-Common-Prefix Array" (2009): one array takes
    first the suffix before each and then, in the order of the text, the result.
    """
    common = np.empty_like(order)
    common[order[0]] = -1
    for place in range(1, len(order)):
        common[order[place]] = order[place - 1]
    length = 0
    for start in range(len(text)):
        other = common[start]
        if other < 0:
            length = 0
        else:
            room = len(text) - max(start, other)
            while length < room and text[start + length] == text[other + length]:
                length += 1
        common[start] = length
        length = max(length - 1, 0)
    return common


@njit(cache=True, nogil=True)
def _mark(
    text: Bytes,
    ends: Integers,
    order: NDArray[Any],
    common: NDArray[Any],
    length: int,
    kinds: Bytes,
) -> None:
    place = 0
    while place < len(order):
        first = order[place]
        behind = place + 1
        while behind < len(order) and common[order[behind]] >= length:
            first = min(first, order[behind])
            behind += 1
        # The byte behind a document stands in all of a run's strings or in none.
        if behind > place + 1 and ends[np.searchsorted(ends, first)] - first >= length:
            for k in range(place, behind):
                kinds[order[k]] = LATER
            kinds[first] = FIRST
        place = behind
