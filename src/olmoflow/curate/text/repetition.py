"""Repetition within a text: lines, paragraphs, n-grams of words, periods of tokens.

The measures and limits of Gopher (Rae et al. 2021, table A1), as datamap-rs reads them: in bytes,
with every place of what recurs. Elements are compared by 64-bit hashes, so two different ones pass
for equal once in about 10¹⁹ pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings
from olmoflow.curate.text.characters import Bytes, Integers, Properties, properties
from olmoflow.curate.text.words import WORD, count_words, segment_end

Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]
Shares = NDArray[np.float32]

# Highest share of: lines and paragraphs that recur, their bytes, the bytes within the most frequent
# n-gram (n from 2), and those within any n-gram that recurs (n from 5).
DUPLICATE_LINES = DUPLICATE_PARAGRAPHS = 0.3
DUPLICATE_LINE_BYTES = DUPLICATE_PARAGRAPH_BYTES = 0.2
NGRAM_BYTES = (0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
SHARES = (
    "duplicate lines",
    "bytes of duplicate lines",
    "duplicate paragraphs",
    "bytes of duplicate paragraphs",
    *(f"bytes of the top {n}-gram" for n in (2, 3, 4)),
    *(f"bytes of duplicate {n}-grams" for n in range(5, 11)),
)
GOPHER_LIMITS = np.array(
    [
        DUPLICATE_LINES,
        DUPLICATE_LINE_BYTES,
        DUPLICATE_PARAGRAPHS,
        DUPLICATE_PARAGRAPH_BYTES,
        *NGRAM_BYTES,
    ],
    np.float32,
)

_PRIME = np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0xCBF29CE484222325)
_FOLD = np.uint64(29)
_NEWLINE = 10
# Bytes of a text whose words are counted before memory is reserved for them.
_LONG = 1 << 20


def gopher_shares(texts: Strings, limits: Shares | None = None) -> Shares:
    """What share of each text is repetition.

    Args:
        texts: The texts. Newlines divide lines, two of them paragraphs; one counts if it is not
            empty. Words are those of `words`, in their case; the bytes of an n-gram are those of
            its words. Of n-grams that are equally frequent the longest counts, else the first.
        limits: [13] for each share; a text is not looked at further once it passes one.

    Returns:
        [texts, 13], in the order of `SHARES`, numbers of 32 bits as in datamap-rs; 0 for what was
        not looked at. Without a line or a paragraph the share of those is 1.
    """
    limits = np.full(len(SHARES), np.inf, np.float32) if limits is None else limits
    shares = np.zeros((texts.number, len(SHARES)), np.float32)
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
    """At least how many words, or lines that are not empty, any text has."""
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
    """Hash the lines, and the paragraphs, which two newlines divide; how many are not empty."""
    number, paragraph_number = 0, 0
    paragraph, size = _SEED, 0
    i, more = start, True
    while more:
        value, line = _SEED, i
        while i < end and text[i] != _NEWLINE:
            value = (value ^ np.uint64(text[i])) * _PRIME
            i += 1
        value ^= value >> _FOLD
        if i > line:
            lines[number], line_sizes[number] = value, i - line
            number += 1
            size += i - line
            paragraph = (paragraph ^ value) * _GOLDEN
            paragraph ^= paragraph >> _FOLD
        more = i < end
        if more and (i + 1 == end or text[i + 1] != _NEWLINE):
            # A newline within the paragraph.
            size += 1
            paragraph = (paragraph ^ np.uint64(_NEWLINE)) * _GOLDEN
            paragraph ^= paragraph >> _FOLD
            i += 1
            continue
        if size > 0:
            paragraphs[paragraph_number], paragraph_sizes[paragraph_number] = paragraph, size
            paragraph_number += 1
        paragraph, size = _SEED, 0
        i += 2
    return number, paragraph_number


@njit(cache=True, nogil=True, inline="always")
def _share(part: int, whole: int) -> np.float32:
    """A share as datamap-rs compares it, in 32 bits."""
    return np.float32(part) / np.float32(whole)


@njit(cache=True, nogil=True)
def _recurring(
    hashes: Hashes, sizes: Integers, number: int, keys: Hashes, uses: Integers, stamp: int
) -> tuple[np.float32, np.float32]:
    """Share of elements that stand more than once, and of their bytes; 1 if there is none."""
    if number == 0:
        return np.float32(1), np.float32(1)
    mask = _mask(number)
    repeated, repeated_size, size = 0, 0, 0
    for k in range(number):
        size += sizes[k]
        slot = _find(keys, uses, stamp, mask, hashes[k])
        if uses[slot, 0] == stamp:
            # With the second one the first counts as well.
            places = 2 if uses[slot, 1] == 1 else 1
            uses[slot, 1] += 1
            repeated += places
            repeated_size += places * sizes[k]
        else:
            keys[slot] = hashes[k]
            uses[slot, 0], uses[slot, 1] = stamp, 1
    return _share(repeated, number), _share(repeated_size, size)


@njit(cache=True, nogil=True)
def _words(
    text: Bytes, start: int, end: int, table: Properties, hashes: Hashes, before: Integers
) -> int:
    """Hash the words; ``before[k]``: the bytes of words 0 … k - 1."""
    number = 0
    before[0] = 0
    i = start
    while i < end:
        j, flags, _ = segment_end(text, i, end, table)
        if flags & WORD:
            value = _SEED
            for k in range(i, j):
                value = (value ^ np.uint64(text[k])) * _PRIME
            hashes[number] = value ^ (value >> _FOLD)
            number += 1
            before[number] = before[number - 1] + j - i
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
    """The slot of the most frequent n-gram (of several, the longest); -1 if none recurs."""
    most, longest, top = 1, 0, -1
    for k in range(number):
        count = uses[places[k], 1]
        if count > 1 and count >= most:
            size = before[k + n] - before[k]
            if count > most or size > longest:
                most, longest, top = count, size, places[k]
    return top


@njit(cache=True, nogil=True)
def _covered(
    places: Integers, number: int, uses: Integers, before: Integers, n: int, only: int
) -> int:
    """Bytes of the words within n-grams that recur, or within those of the slot ``only``."""
    covered, end = 0, 0
    for k in range(number):
        if uses[places[k], 1] > 1 and (only < 0 or places[k] == only):
            covered += before[k + n] - before[max(k, end)]
            end = k + n
    return covered


@njit(cache=True, nogil=True)
def _gopher(
    text: Bytes,
    offsets: Integers,
    table: Properties,
    limits: Shares,
    hashes: Hashes,
    grams: Hashes,
    before: Integers,
    places: Integers,
    keys: Hashes,
    uses: Integers,
    shares: Shares,
) -> None:
    stamp = 0
    for t in range(len(offsets) - 1):
        start, end = offsets[t], offsets[t + 1]
        number, paragraphs = _blocks(text, start, end, hashes, before, grams, places)
        shares[t, 0], shares[t, 1] = _recurring(hashes, before, number, keys, uses, stamp + 1)
        shares[t, 2], shares[t, 3] = _recurring(grams, places, paragraphs, keys, uses, stamp + 2)
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
            only = _top(places, number - n + 1, uses, before, n) if n < 5 else -1
            covered = 0
            if n > 4 or only >= 0:
                covered = _covered(places, number - n + 1, uses, before, n, only)
            shares[t, n + 2] = _share(covered, total)
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
