"""Repetition within a text: lines, paragraphs, n-grams of words, periods of tokens.

The measures and limits of Gopher (Rae et al. 2021, table A1). Elements are compared by 64-bit
hashes, so two different ones pass for equal once in about 10¹⁹ pairs.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from olmoflow.curate.strings import Strings
from olmoflow.curate.text.characters import Bytes, Integers, Properties, properties
from olmoflow.curate.text.words import WORD, count_words, segment_end

Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]

# Highest share of: lines and paragraphs seen before, their characters, the characters of the most
# frequent n-gram (n from 2), and those within any n-gram that recurs (n from 5).
DUPLICATE_LINES = DUPLICATE_PARAGRAPHS = 0.3
DUPLICATE_LINE_CHARACTERS = DUPLICATE_PARAGRAPH_CHARACTERS = 0.2
NGRAM_CHARACTERS = (0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
SHARES = (
    "duplicate lines",
    "characters of duplicate lines",
    "duplicate paragraphs",
    "characters of duplicate paragraphs",
    *(f"characters of the top {n}-gram" for n in (2, 3, 4)),
    *(f"characters of duplicate {n}-grams" for n in range(5, 11)),
)
GOPHER_LIMITS = np.array(
    [
        DUPLICATE_LINES,
        DUPLICATE_LINE_CHARACTERS,
        DUPLICATE_PARAGRAPHS,
        DUPLICATE_PARAGRAPH_CHARACTERS,
        *NGRAM_CHARACTERS,
    ]
)

_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0xCBF29CE484222325)
_BYTE = np.uint64(8)
_FOLD = np.uint64(29)
_NEWLINE = 10
# Bytes of a text whose words are counted before memory is reserved for them.
_LONG = 1 << 20


def gopher_shares(texts: Strings, limits: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """What share of each text is repetition.

    Args:
        texts: The texts. A line or paragraph of nothing but blanks does not count. Words are those
            of `words`, in their case; the characters of an n-gram are those of its words.
        limits: [13] for each share; a text is not looked at further once it passes one.

    Returns:
        [texts, 13], in the order of `SHARES`; 0 for what was not looked at.
    """
    limits = np.full(len(SHARES), np.inf) if limits is None else limits
    shares = np.zeros((texts.number, len(SHARES)))
    table = properties()
    most = _most_elements(texts)
    slots = 1 << (2 * most).bit_length()
    _gopher(
        texts.data,
        texts.offsets,
        table,
        limits,
        np.empty(most, np.uint64),
        np.empty(most, np.uint64),
        np.empty(most + 1, np.int64),
        np.empty(most, np.int64),
        np.zeros(slots, np.uint64),
        np.zeros((slots, 2), np.int64),
        shares,
    )
    return shares


def _most_elements(texts: Strings) -> int:
    """At least how many words, or lines that are not blank, any text has."""
    # Each has a byte. What is reserved for more than there are is never touched, and so takes no
    # memory; but nobody should have to reserve gigabytes.
    sizes = np.diff(texts.offsets)
    most = int(sizes.max(initial=0, where=sizes < _LONG)) + 1
    for text in np.flatnonzero(sizes >= _LONG):
        bounds = texts.offsets[text : text + 2]
        words = int(count_words(texts.data, bounds, properties())[0])
        lines = int(np.count_nonzero(texts.data[bounds[0] : bounds[1]] == _NEWLINE)) + 1
        most = max(most, words + 1, lines + 1)
    return most


@njit(cache=True, nogil=True, inline="always")
def _find(keys: Hashes, uses: Integers, stamp: int, mask: int, key: np.uint64) -> np.int64:
    """The slot of a key: used under this stamp if ``uses[slot, 0] == stamp``."""
    mixed = key * _GOLDEN
    slot = np.int64(mixed >> np.uint64(32)) & mask
    while uses[slot, 0] == stamp and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _mask(number: int) -> int:
    """Slots less one for a table of ``number`` keys: a power of two, at most half full."""
    slots = 2
    while slots < 2 * number:
        slots *= 2
    return slots - 1


@njit(cache=True, nogil=True)
def _blocks(
    text: Bytes,
    start: int,
    end: int,
    lines: Hashes,
    line_sizes: Integers,
    paragraphs: Hashes,
    paragraph_sizes: Integers,
) -> tuple[int, int]:
    """Hash the lines, and the paragraphs, which empty lines divide; how many are not blank."""
    number, paragraph_number = 0, 0
    paragraph, paragraph_size, paragraph_visible = _SEED, 0, False
    i = start
    while i <= end:
        value, size, visible = _SEED, 0, False
        while i < end and text[i] != _NEWLINE:
            byte = text[i]
            value = (value ^ np.uint64(byte)) * _PRIME
            size += byte & 0xC0 != 0x80
            visible |= byte > 32
            i += 1
        value ^= value >> _FOLD
        if visible:
            lines[number], line_sizes[number] = value, size
            number += 1
        if size:
            # Its lines, and the newlines between them.
            paragraph_size += size + (paragraph_size > 0)
            paragraph = (paragraph ^ value) * _GOLDEN
            paragraph ^= paragraph >> _FOLD
            paragraph_visible |= visible
        if size == 0 or i == end:
            if paragraph_visible:
                paragraphs[paragraph_number] = paragraph
                paragraph_sizes[paragraph_number] = paragraph_size
                paragraph_number += 1
            paragraph, paragraph_size, paragraph_visible = _SEED, 0, False
        i += 1
    return number, paragraph_number


@njit(cache=True, nogil=True)
def _seen_before(
    hashes: Hashes, sizes: Integers, number: int, keys: Hashes, uses: Integers, stamp: int
) -> tuple[float, float]:
    """Share of elements that came before, and of their characters."""
    mask = _mask(number)
    repeated, repeated_characters, characters = 0, 0, 0
    for k in range(number):
        characters += sizes[k]
        slot = _find(keys, uses, stamp, mask, hashes[k])
        if uses[slot, 0] == stamp:
            repeated += 1
            repeated_characters += sizes[k]
        else:
            keys[slot] = hashes[k]
            uses[slot, 0] = stamp
    return repeated / max(number, 1), repeated_characters / max(characters, 1)


@njit(cache=True, nogil=True)
def _words(
    text: Bytes, start: int, end: int, table: Properties, hashes: Hashes, before: Integers
) -> int:
    """Hash the words; ``before[k]``: the characters of words 0 … k - 1."""
    number = 0
    before[0] = 0
    i = start
    while i < end:
        j, flags, characters = segment_end(text, i, end, table)
        if flags & WORD:
            value = _SEED
            for k in range(i, j):
                value = (value ^ np.uint64(text[k])) * _PRIME
            hashes[number] = value ^ (value >> _FOLD)
            number += 1
            before[number] = before[number - 1] + characters
        i = j
    return number


@njit(cache=True, nogil=True)
def _count(
    grams: Hashes, number: int, places: Integers, keys: Hashes, uses: Integers, stamp: int
) -> None:
    """Count n-grams: ``uses[places[k], 1]`` is how often n-gram k occurs."""
    mask = _mask(number)
    for k in range(number):
        slot = _find(keys, uses, stamp, mask, grams[k])
        if uses[slot, 0] != stamp:
            keys[slot] = grams[k]
            uses[slot, 0], uses[slot, 1] = stamp, 0
        uses[slot, 1] += 1
        places[k] = slot


@njit(cache=True, nogil=True)
def _top(places: Integers, number: int, uses: Integers, before: Integers, n: int) -> int:
    """Characters of the most frequent n-gram (of several, the longest), all occurrences."""
    most, characters = 1, 0
    for k in range(number):
        count = uses[places[k], 1]
        if count > 1 and count >= most:
            size = count * (before[k + n] - before[k])
            characters = size if count > most else max(size, characters)
            most = count
    return characters


@njit(cache=True, nogil=True)
def _covered(places: Integers, number: int, uses: Integers, before: Integers, n: int) -> int:
    """Characters of the words within any n-gram that occurs more than once."""
    covered, end = 0, 0
    for k in range(number):
        if uses[places[k], 1] > 1:
            covered += before[k + n] - before[max(k, end)]
            end = k + n
    return covered


@njit(cache=True, nogil=True)
def _gopher(
    text: Bytes,
    offsets: Integers,
    table: Properties,
    limits: NDArray[np.float64],
    hashes: Hashes,
    grams: Hashes,
    before: Integers,
    places: Integers,
    keys: Hashes,
    uses: Integers,
    shares: NDArray[np.float64],
) -> None:
    stamp = 0
    for t in range(len(offsets) - 1):
        start, end = offsets[t], offsets[t + 1]
        number, paragraphs = _blocks(text, start, end, hashes, before, grams, places)
        shares[t, 0], shares[t, 1] = _seen_before(hashes, before, number, keys, uses, stamp + 1)
        shares[t, 2], shares[t, 3] = _seen_before(grams, places, paragraphs, keys, uses, stamp + 2)
        stamp += 2
        if (shares[t, :4] > limits[:4]).any():
            continue
        number = _words(text, start, end, table, hashes, before)
        total = max(before[number], 1)
        grams[:number] = hashes[:number]
        for n in range(2, 11):
            stamp += 1
            for k in range(number - n + 1):
                value = (grams[k] ^ (grams[k] >> _FOLD)) * _GOLDEN + hashes[k + n - 1]
                grams[k] = value
            _count(grams, number - n + 1, places, keys, uses, stamp)
            if n < 5:
                characters = _top(places, number - n + 1, uses, before, n)
            else:
                characters = _covered(places, number - n + 1, uses, before, n)
            shares[t, n + 2] = characters / total
            if shares[t, n + 2] > limits[n + 2]:
                break


@njit(cache=True, nogil=True)
def has_period(
    tokens: NDArray[np.uint32],
    offsets: Integers,
    shortest: int,
    longest: int,
    times: int,
    aligned: bool,
) -> Mask:
    """[texts] whether some piece of tokens follows itself often enough.

    Args:
        tokens: The tokens of all texts.
        offsets: [texts + 1], where those of each text start.
        shortest: Fewest tokens of the piece.
        longest: Most tokens of the piece.
        times: How often the piece must stand, one right behind the other.
        aligned: Look only at pieces that start a multiple of their length into the text.
    """
    found = np.zeros(len(offsets) - 1, np.bool_)
    for t in range(len(found)):
        start, end = offsets[t], offsets[t + 1]
        for period in range(shortest, longest + 1):
            needed = period * (times - 1)
            if end - start < needed + period:
                break
            run = 0
            for i in range(start + period, end):
                run = run + 1 if tokens[i] == tokens[i - period] else 0
                if run >= needed and (not aligned or (i + 1 - start) % period == 0):
                    found[t] = True
                    break
            if found[t]:
                break
    return found
