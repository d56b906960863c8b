"""Words of a text as numbers, and its word n-grams, compiled.

A text is cleaned as SlimPajama's deduplication did: lower case, ASCII punctuation deleted,
whitespace only separates. A letter of a script that puts no spaces between words (Chinese,
Japanese, Thai, …) is a word by itself, or a page in it would be one word.
"""

from __future__ import annotations

import functools
import string

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.text.characters import unspaced

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
Classes = NDArray[np.int32]

SPACE, DELETED = -1, -2
# Added to a code point that is a word by itself.
ALONE = 1 << 24
# Odd numbers without a pattern: 2**64 / golden ratio, and those of splitmix64.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@functools.cache
def classes() -> Classes:
    """[0x110000], for each code point the one it becomes, `SPACE` or `DELETED`."""
    table = np.arange(0x110000, dtype=np.int32)
    for point in range(0x20000):
        character = chr(point)
        if character.isspace():
            table[point] = SPACE
        else:
            table[point] = ord(character.lower()[0])
    for character in string.punctuation:
        table[ord(character)] = DELETED
    table[unspaced()] += ALONE
    return table


@njit(cache=True, nogil=True, inline="always")
def mix(value: np.uint64) -> np.uint64:
    """The finalizer of splitmix64: each bit of the input changes half of the output's."""
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


@njit(cache=True, nogil=True)
def hash_words(data: Bytes, start: int, end: int, classes: Classes, words: Hashes) -> int:
    """Write the hash of each word of ``data[start:end]`` into ``words``; how many there are.

    Args:
        data: UTF-8; what a sequence that is cut at the end would need is not read.
        start: First byte of the text.
        end: Behind its last byte.
        classes: From `classes`.
        words: Has room for (bytes + 1) // 2 + 1.
    """
    count = 0
    inside = False
    state = _GOLDEN
    i = start
    while i < end:
        first = np.int64(data[i])
        if first < 0x80:
            size, point = 1, first
        elif first < 0xE0:
            size, point = 2, first & 0x1F
        elif first < 0xF0:
            size, point = 3, first & 0x0F
        else:
            size, point = 4, first & 0x07
        for k in range(i + 1, min(i + size, end)):
            point = point << 6 | (np.int64(data[k]) & 0x3F)
        i += size
        kind = np.int64(classes[point]) if point < 0x110000 else point
        if kind == DELETED:
            continue
        if inside and (kind == SPACE or kind >= ALONE):
            words[count] = mix(state)
            count += 1
            inside = False
            state = _GOLDEN
        if kind == SPACE:
            continue
        state = (state ^ np.uint64(kind)) * _MIX_1
        if kind >= ALONE:
            words[count] = mix(state)
            count += 1
            state = _GOLDEN
        else:
            inside = True
    if inside:
        words[count] = mix(state)
        count += 1
    return count


@njit(cache=True, nogil=True)
def hash_ngrams(words: Hashes, count: int, n: int, ngrams: Hashes) -> int:
    """Write the hash of each n-gram of ``words[:count]`` into ``ngrams``; how many there are.

    The hash rolls: a polynomial in the words, mixed. Fewer than ``n`` words are one n-gram; no
    word makes none.
    """
    if count == 0:
        return 0
    n = min(n, count)
    leaving = np.uint64(1)
    state = np.uint64(0)
    for k in range(n):
        state = state * _GOLDEN + words[k]
        if k > 0:
            leaving *= _GOLDEN
    ngrams[0] = mix(state)
    for k in range(n, count):
        state = (state - words[k - n] * leaving) * _GOLDEN + words[k]
        ngrams[k - n + 1] = mix(state)
    return count - n + 1
