"""Words as numbers, compiled: a text is lowered, its punctuation read as spaces, its words hashed.

A word is a run of letters, digits and marks. Scripts that do without spaces (Han, Hiragana, Thai …)
and symbols that are no punctuation give a token for each character, much as Unicode's word
boundaries (UAX 29) do. Invisible format characters are passed over.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings
from olmoflow.curate.text.characters import unspaced

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]

SEPARATOR, WORD, SINGLE, IGNORED = range(4)

_SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)


class Characters(NamedTuple):
    """What characters are: ``classes`` [0x110000] uint8 and ``lower`` [0x110000] int32."""

    classes: NDArray[np.uint8]
    lower: NDArray[np.int32]


@lru_cache(maxsize=4)
def characters(punctuation: str) -> Characters:
    """The tables for a choice of punctuation.

    A character whose small form has several characters (only İ) becomes the first of them.
    """
    classes = np.full(sys.maxunicode + 1, SINGLE, np.uint8)
    lower = np.arange(sys.maxunicode + 1, dtype=np.int32)
    # Beyond this there is nothing but tags and private use.
    for point in range(0x40000):
        character = chr(point)
        category = unicodedata.category(character)
        if character in punctuation or character.isspace() or category == "Cc":
            classes[point] = SEPARATOR
        elif category == "Cf":
            classes[point] = IGNORED
        elif category[0] in "LNM":
            classes[point] = WORD
            lower[point] = ord(character.lower()[0])
    classes[unspaced() & (classes == WORD)] = SINGLE
    return Characters(classes, lower)


class _Spelling(dict[int, str]):
    """What becomes of each character, for `str.translate`; filled as characters come up."""

    def __init__(self, punctuation: str) -> None:
        self.table = characters(punctuation)

    def __missing__(self, point: int) -> str:
        kind = self.table.classes[point]
        spelled = {SEPARATOR: " ", SINGLE: f" {chr(point)} ", IGNORED: ""}.get(int(kind))
        self[point] = chr(self.table.lower[point]) if spelled is None else spelled
        return self[point]


@lru_cache(maxsize=4)
def _spelling(punctuation: str) -> _Spelling:
    return _Spelling(punctuation)


def split_words(text: str, punctuation: str) -> list[str]:
    """The words of a text, as `hash_words` finds them; for people to read."""
    return text.translate(_spelling(punctuation)).split()


def hash_words(texts: Strings, punctuation: str) -> tuple[Hashes, Integers]:
    """The words of texts as 64-bit hashes.

    Returns:
        tokens [words] and offsets [texts + 1], the place of each text's first token.
    """
    bound = int(texts.offsets[-1] - texts.offsets[0])
    # No text has more words than bytes. What is not used of this is never touched.
    tokens = np.empty(bound, np.uint64)
    offsets = np.zeros(texts.number + 1, np.int64)
    table = characters(punctuation)
    total = _hash_words(texts.data, texts.offsets, table.classes, table.lower, tokens, offsets)
    return tokens[:total], offsets


@njit(cache=True, nogil=True)
def _finish(value: np.uint64) -> np.uint64:
    """Spread a hash over its bits (the finalizer of MurmurHash3)."""
    value = (value ^ (value >> _SHIFT)) * _MIX_1
    value = (value ^ (value >> _SHIFT)) * _MIX_2
    return value ^ (value >> _SHIFT)


@njit(cache=True, nogil=True)
def _hash_words(
    data: NDArray[np.uint8],
    offsets: Integers,
    classes: NDArray[np.uint8],
    lower: NDArray[np.int32],
    tokens: Hashes,
    places: Integers,
) -> int:
    """Fill ``tokens`` and ``places``; how many tokens there are."""
    total = 0
    for text in range(len(offsets) - 1):
        i, end = offsets[text], offsets[text + 1]
        value, inside = _SEED, False
        while i < end:
            first = data[i]
            point = np.int64(first)
            size = 1
            if first >= 0x80:
                if first < 0xE0:
                    size, point = 2, first & 0x1F
                elif first < 0xF0:
                    size, point = 3, first & 0x0F
                else:
                    size, point = 4, first & 0x07
                for k in range(i + 1, min(i + size, end)):
                    point = point << 6 | (data[k] & 0x3F)
            i += size
            kind = classes[point]
            if kind == WORD:
                value = (value ^ np.uint64(lower[point])) * _PRIME
                inside = True
            elif kind != IGNORED:
                if inside:
                    tokens[total] = _finish(value)
                    total += 1
                    value, inside = _SEED, False
                if kind == SINGLE:
                    tokens[total] = _finish((_SEED ^ np.uint64(point)) * _PRIME)
                    total += 1
        if inside:
            tokens[total] = _finish(value)
            total += 1
        places[text + 1] = total
    return total
