"""Verification: the components of the pairs whose exact Jaccard similarity is high, compiled.

A document is the set of its word n-grams, as sorted 64-bit hashes. Within a cluster every pair is
compared, unless it is connected already or the sizes alone rule it out, so the result does not
depend on the order. In a cluster of many documents only pairs of a second, steeper MinHash are
compared: 200 bands of 31 by default, as for Dolma 3 (paper, section on deduplication).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.dedup.components import Integers, find, join
from olmoflow.curate.dedup.signatures import Permutations, fold_bands, minhash
from olmoflow.curate.dedup.words import Bytes, Classes, Hashes, classes, hash_ngrams, hash_words
from olmoflow.curate.strings import Strings


def ngram_sets(texts: Strings, ngram: int) -> tuple[Hashes, Integers]:
    """The set of n-grams of each text.

    Returns:
        The sets one after the other, each sorted; [documents + 1], where each starts.
    """
    size = int(texts.offsets[-1] - texts.offsets[0])
    sets = np.empty(size // 2 + 2 * texts.number, np.uint64)
    starts = np.zeros(texts.number + 1, np.int64)
    _ngram_sets(texts.data, texts.offsets, classes(), ngram, sets, starts)
    return sets[: starts[-1]].copy(), starts


@njit(cache=True, nogil=True)
def _ngram_sets(
    data: Bytes,
    offsets: NDArray[np.int64],
    classes: Classes,
    ngram: int,
    sets: Hashes,
    starts: Integers,
) -> None:
    longest = 0
    for document in range(len(offsets) - 1):
        longest = max(longest, offsets[document + 1] - offsets[document])
    words = np.empty((longest + 1) // 2 + 1, np.uint64)
    ngrams = np.empty(len(words), np.uint64)
    total = 0
    for document in range(len(offsets) - 1):
        count = hash_words(data, offsets[document], offsets[document + 1], classes, words)
        count = hash_ngrams(words, count, ngram, ngrams)
        ordered = np.sort(ngrams[:count])
        for place in range(count):
            if place == 0 or ordered[place] != ordered[place - 1]:
                sets[total] = ordered[place]
                total += 1
        starts[document + 1] = total


@njit(cache=True, nogil=True)
def jaccard(left: Hashes, right: Hashes) -> float:
    """Size of the intersection over that of the union, of two sorted sets."""
    common = i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            common += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
        else:
            j += 1
    union = len(left) + len(right) - common
    return common / union if union else 1.0


@njit(cache=True, nogil=True)
def _similar(left: Hashes, right: Hashes, threshold: float) -> bool:
    """Whether `jaccard` reaches the threshold; gives up once it cannot."""
    small, large = min(len(left), len(right)), max(len(left), len(right))
    if small / large < threshold:
        return False
    # common / (left + right - common) >= threshold, so this many may stand in one set alone.
    needed = threshold / (1 + threshold) * (len(left) + len(right))
    spare_left, spare_right = len(left) - needed, len(right) - needed
    common = i = j = 0
    while i < len(left) and j < len(right):
        if left[i] == right[j]:
            common += 1
            i += 1
            j += 1
        elif left[i] < right[j]:
            i += 1
            if i - common > spare_left + 1:
                return False
        else:
            j += 1
            if j - common > spare_right + 1:
                return False
    return common / (len(left) + len(right) - common) >= threshold


@njit(cache=True, nogil=True)
def join_groups(
    sets: Hashes,
    starts: Integers,
    members: Integers,
    groups: Integers,
    parents: Integers,
    threshold: float,
) -> None:
    """Join every pair of similar documents of each group, in ``parents``.

    Args:
        sets: From `ngram_sets`.
        starts: [documents + 1], where the set of each starts.
        members: Documents, group by group.
        groups: [groups, 2], where each group starts and ends among the members.
        parents: [documents], the components so far.
        threshold: From which similarity on.
    """
    longest = 0
    for group in range(len(groups)):
        longest = max(longest, groups[group, 1] - groups[group, 0])
    # The components of a group's members so far, each a list: whoever is in one already is not
    # compared with its members, which matters where thousands are alike.
    following = np.empty(longest, np.int64)
    heads = np.empty(longest, np.int64)
    tails = np.empty(longest, np.int64)
    for group in range(len(groups)):
        own = members[groups[group, 0] : groups[group, 1]]
        count = 0
        for right in range(len(own)):
            following[right] = -1
            joined = -1
            k = 0
            while k < count:
                if not _reaches(sets, starts, own, following, heads[k], right, parents, threshold):
                    k += 1
                elif joined < 0:
                    following[tails[k]] = tails[k] = right
                    joined = k
                    k += 1
                else:
                    following[tails[joined]] = heads[k]
                    tails[joined] = tails[k]
                    count -= 1
                    heads[k], tails[k] = heads[count], tails[count]
            if joined < 0:
                heads[count] = tails[count] = right
                count += 1


@njit(cache=True, nogil=True)
def _reaches(
    sets: Hashes,
    starts: Integers,
    own: Integers,
    following: Integers,
    head: int,
    right: int,
    parents: Integers,
    threshold: float,
) -> bool:
    """Whether a member is, or becomes, connected with the component that starts at ``head``."""
    b = own[right]
    if find(parents, own[head]) == find(parents, b):
        return True
    second = sets[starts[b] : starts[b + 1]]
    left = head
    while left >= 0:
        a = own[left]
        if _similar(sets[starts[a] : starts[a + 1]], second, threshold):
            join(parents, a, b)
            return True
        left = following[left]
    return False


@njit(cache=True, nogil=True)
def keys_of_sets(
    sets: Hashes, starts: Integers, rows: int, chosen: Permutations, keys: Hashes
) -> None:
    """Keys of the bands of each set; ``keys`` is [bands, documents]."""
    minima = np.empty(len(chosen.multipliers), np.uint32)
    for document in range(len(starts) - 1):
        ngrams = sets[starts[document] : starts[document + 1]]
        minhash(ngrams, chosen.multipliers, chosen.shifts, minima)
        fold_bands(minima, rows, keys[:, document])
