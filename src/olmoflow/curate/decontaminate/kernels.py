"""The search of decontamination, compiled: decon's SIMPLE algorithm over hashes of n-grams.

Every so many tokens an n-gram of a document is looked up. Where questions have it, the search goes
left and right from there, token by token, and notes for each of these questions which of its
n-grams it meets, until the question has been missed too often. What was found is scored.

The functions hold no Python object and release the GIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.decontaminate.score import adjusted, required, weighted
from olmoflow.curate.decontaminate.settings import Limits

if TYPE_CHECKING:
    from olmoflow.curate.decontaminate.index import Parts, Questions

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

# The columns of a match.
(
    DOCUMENT,  # row
    ENTRY,  # number of the entry
    START,  # first token of the question in the document
    LAST,  # last n-gram of the question in the document
    NGRAMS,  # different n-grams found
    QUESTION,  # overlaps; -1 where the entry has no such part
    ANSWER,
    PASSAGE,
    PASSAGE_START,  # -1: not found
    PASSAGE_END,
    SCORE,
) = range(11)
COLUMNS = 11

_SEED = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(32)
_ZERO, _ONE = np.uint64(0), np.uint64(1)
# A literal has a type of its own, and each type of an argument is compiled for anew.
_INT: Any = np.int64


@njit(cache=True, nogil=True)
def _hash(tokens: Hashes, start: int, size: int) -> np.uint64:
    """The hash of an n-gram; never 0, which marks an empty slot."""
    value = _SEED
    for k in range(start, start + size):
        value = (value ^ tokens[k]) * _FACTOR
        value ^= value >> _SHIFT
    return value if value != _ZERO else _ONE


@njit(cache=True, nogil=True)
def hash_ngrams(tokens: Hashes, offsets: Integers, size: int) -> tuple[Hashes, Integers]:
    """All n-grams of texts, in order: their hashes and the texts' numbers."""
    total = 0
    for text in range(len(offsets) - 1):
        total += max(0, offsets[text + 1] - offsets[text] - size + 1)
    hashes, owners = np.empty(total, np.uint64), np.empty(total, np.int64)
    n = 0
    for text in range(len(offsets) - 1):
        for i in range(offsets[text], offsets[text + 1] - size + 1):
            hashes[n] = _hash(tokens, i, size)
            owners[n] = text
            n += 1
    return hashes, owners


@njit(cache=True, nogil=True)
def fill_table(hashes: Hashes, keys: Hashes, values: NDArray[np.int32]) -> None:
    """Put hashes into a table of 2**k slots, with their numbers."""
    mask = np.uint64(len(keys) - 1)
    for number in range(len(hashes)):
        slot = hashes[number] & mask
        while keys[slot] != _ZERO:
            slot = (slot + _ONE) & mask
        keys[slot] = hashes[number]
        values[slot] = number


@njit(cache=True, nogil=True)
def _look_up(key: np.uint64, keys: Hashes, values: NDArray[np.int32]) -> int:
    """The number of an n-gram, -1 if no question has it."""
    mask = np.uint64(len(keys) - 1)
    slot = key & mask
    while keys[slot] != key:
        if keys[slot] == _ZERO:
            return -1
        slot = (slot + _ONE) & mask
    return int(values[slot])


@njit(cache=True, nogil=True)
def _place(sorted_values: Any, value: Any, low: int, high: int) -> int:
    """Where a value stands in a sorted stretch of an array, -1 if it does not."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if sorted_values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < end and sorted_values[low] == value else -1


@njit(cache=True, nogil=True)
def _last(visited: NDArray[np.int32], ngram: int, low: int, high: int) -> int:
    """The last place within bounds where an n-gram was met, -1 if there is none."""
    for place in range(high - 1, low - 1, -1):
        if visited[place] == ngram:
            return place
    return -1


@njit(cache=True, nogil=True)
def _expand(
    tokens: Hashes,
    hit: int,
    step: int,
    lowest: int,
    started: NDArray[np.int32],
    questions: Questions,
    size: int,
    most_misses: int,
    visited: NDArray[np.int32],
    low: Integers,
    edge: Integers,
    counts: Integers,
    sums: Floats,
) -> int:
    """Go one way from a hit, first to the left; the last n-gram looked at.

    Args:
        tokens: Of the document.
        hit: Place of the n-gram that hit.
        step: -1 or 1.
        lowest: Where the way to the left ended; on that way, ``hit``.
        started: Entries that have that n-gram; all from ``low`` on have as many elements.
        questions: The index.
        size: Tokens in an n-gram.
        most_misses: After how many misses an entry is given up.
        visited: By place, the n-gram that was met there; -1: none that a question has.
        low: The lowest place at which the entry was looked for, on the way to the left.
        edge: Receives the farthest n-gram met.
        counts: Grows by the different n-grams met.
        sums: Grows by their idf.
    """
    keys, values, starts, entries, idf = questions[:5]
    active = np.ones(len(started), np.bool_)
    misses = np.zeros(len(started), np.int64)
    left = len(started)
    place = hit
    while left > 0 and 0 <= place + step <= len(tokens) - size:
        place += step
        ngram = _look_up(_hash(tokens, place, size), keys, values)
        visited[place] = ngram
        before = -1
        if ngram >= 0:
            # An entry has met this n-gram already if it was looked for at an earlier place of it.
            first, behind = (place + 1, hit + 1) if step < 0 else (lowest, place)
            before = _last(visited, ngram, first, behind)
        for k in range(len(started)):
            if not active[k]:
                continue
            if step < 0:
                low[k] = place
            if ngram >= 0 and _place(entries, started[k], starts[ngram], starts[ngram + 1]) >= 0:
                edge[k] = place
                if before < low[k]:
                    counts[k] += 1
                    sums[k] += idf[ngram]
                    misses[k] = 0
            else:
                misses[k] += 1
                if misses[k] >= most_misses:
                    active[k] = False
                    left -= 1
    return place


@njit(cache=True, nogil=True)
def _answer(tokens: Hashes, start: int, entry: int, answers: Parts, limits: Limits) -> float:
    """How much of an entry's answer stands behind its question.

    A short answer has to be there as it is and counts in full.
    """
    token_starts, answer_tokens = answers.token_starts, answers.tokens
    first, end = token_starts[entry], token_starts[entry + 1]
    length = end - first
    if length > limits.short_answer_token_threshold:
        window = max(2 * length, limits.min_long_answer_window)
        stop = min(start + window, len(tokens))
        size = limits.answer_ngram_size
        return _overlap(tokens, start, stop, _INT(1), size, entry, answers, len(tokens))[0]
    stop = min(start + limits.short_answer_window_length, len(tokens))
    for i in range(start, stop):
        if i + length > len(tokens):
            break
        same = True
        for k in range(length):
            if tokens[i + k] != answer_tokens[first + k]:
                same = False
                break
        if same:
            return 1.0
    return 0.0


@njit(cache=True, nogil=True)
def _overlap(
    tokens: Hashes,
    start: int,
    stop: int,
    step: int,
    size: int,
    entry: int,
    parts: Parts,
    most_misses: int,
) -> tuple[float, int, int]:
    """How much of an answer or passage stands within ``tokens[start:stop]``, and where.

    Args:
        tokens: Of the document.
        start: First token of the window.
        stop: Behind its last.
        step: 1: look from left to right; -1: from right to left.
        size: Tokens in an n-gram.
        entry: Its number.
        parts: Answers or passages.
        most_misses: More misses in a row after the first n-gram found end the search.

    Returns:
        The overlap, the first and the last token found; -1 if none was.
    """
    starts, hashes, idf, total, _, _, _ = parts
    low, high = starts[entry], starts[entry + 1]
    seen = np.zeros(high - low, np.bool_)
    number, value, misses = 0, 0.0, 0
    first, last = -1, -1
    places = stop - start - size + 1
    for k in range(places):
        i = start + k if step > 0 else start + places - 1 - k
        at = _place(hashes, _hash(tokens, i, size), low, high)
        if at < 0:
            if first >= 0:
                misses += 1
                if misses > most_misses:
                    break
            continue
        misses = 0
        first = i if first < 0 else min(first, i)
        last = max(last, i + size - 1)
        if not seen[at - low]:
            seen[at - low] = True
            number += 1
            value += idf[at]
    if number == high - low and number > 0:
        return 1.0, first, last
    return (value / total[entry] if total[entry] > 0 else 0.0), first, last


@njit(cache=True, nogil=True)
def find_matches(
    tokens: Hashes,
    offsets: Integers,
    questions: Questions,
    answers: Parts,
    passages: Parts,
    limits: Limits,
) -> Floats:
    """All matches in documents that pass the threshold.

    Args:
        tokens: Of documents, one after the other.
        offsets: [documents + 1].
        questions: The index.
        answers: Of its entries.
        passages: Of its entries.
        limits: Settings.

    Returns:
        [matches, `COLUMNS`], documents in order.
    """
    keys, values, starts, entries, _, hot = questions[:6]
    size = limits.ngram_size
    matches = np.empty((16, COLUMNS))
    number = _INT(0)
    for document in range(len(offsets) - 1):
        text = tokens[offsets[document] : offsets[document + 1]]
        if len(text) < 2 * size:
            continue
        place = _INT(0)
        while place <= len(text) - size:
            ngram = _look_up(_hash(text, place, size), keys, values)
            if ngram < 0:
                place += limits.sample_every_m_tokens
                continue
            if hot[ngram]:
                place += 1
                continue
            started = entries[starts[ngram] : starts[ngram + 1]]
            matches, number, place = _cluster(
                text,
                document,
                place,
                ngram,
                started,
                questions,
                answers,
                passages,
                limits,
                matches,
                number,
            )
    return matches[:number]


@njit(cache=True, nogil=True)
def _cluster(
    tokens: Hashes,
    document: int,
    hit: int,
    ngram: int,
    started: NDArray[np.int32],
    questions: Questions,
    answers: Parts,
    passages: Parts,
    limits: Limits,
    matches: Floats,
    number: int,
) -> tuple[Floats, int, int]:
    """Expand a hit and score what it led to.

    Returns:
        The matches, which may have moved; how many; where the search goes on.
    """
    _, _, _, _, idf, _, ngrams, lengths, total = questions
    size = limits.ngram_size
    visited = np.empty(len(tokens), np.int32)
    visited[hit] = ngram
    low = np.full(len(started), hit, np.int64)
    first, last = low.copy(), low.copy()
    counts = np.ones(len(started), np.int64)
    sums = np.full(len(started), idf[ngram])
    misses = limits.question_max_consecutive_misses
    back, on = _INT(-1), _INT(1)
    lowest = _expand(
        tokens, hit, back, hit, started, questions, size, misses, visited, low, first, counts, sums
    )
    end = _expand(
        tokens, hit, on, lowest, started, questions, size, misses, visited, low, last, counts, sums
    )
    decay = limits.perfect_match_decay_start, limits.perfect_match_decay_end
    for k in range(len(started)):
        entry = started[k]
        overlap = sums[k] / total[entry] if total[entry] > 0 else 0.0
        if counts[k] == ngrams[entry]:
            overlap = 1.0
        # The least that can still pass; in most cases this is the end of it.
        if overlap < required(lengths[entry], decay[0], decay[1], limits.min_question):
            continue
        if number == len(matches):
            # One row at a time: to check whole shapes takes long to compile.
            larger = np.empty((2 * number, COLUMNS))
            for n in range(number):
                for column in range(COLUMNS):
                    larger[n, column] = matches[n, column]
            matches = larger
        row = matches[number]
        row[DOCUMENT], row[ENTRY], row[START], row[LAST] = document, entry, first[k], last[k]
        row[NGRAMS], row[QUESTION] = counts[k], overlap
        if _score(tokens, entry, row, questions, answers, passages, limits):
            number += 1
    return matches, number, end + 1


@njit(cache=True, nogil=True)
def _score(
    tokens: Hashes,
    entry: int,
    row: Floats,
    questions: Questions,
    answers: Parts,
    passages: Parts,
    limits: Limits,
) -> bool:
    """Complete a match; whether it passes the threshold."""
    ngrams, lengths = questions[6], questions[7]
    first, end = int(row[START]), int(row[LAST]) + limits.ngram_size
    answer_tokens = answers.token_starts[entry + 1] - answers.token_starts[entry]
    passage_tokens = passages.token_starts[entry + 1] - passages.token_starts[entry]
    length = lengths[entry]
    row[ANSWER], row[PASSAGE], row[PASSAGE_START], row[PASSAGE_END] = -1, -1, -1, -1
    if answer_tokens > 0:
        # N-grams of the question that stand at the start of its answer make the match too long.
        end -= max(0, end - first - length)
        row[ANSWER] = _answer(tokens, end, entry, answers, limits)
        length += answers.different[entry]
    if passage_tokens > 0:
        start = max(0, first - max(2 * passage_tokens, limits.min_passage_distance))
        size, misses = limits.passage_ngram_size, limits.passage_max_consecutive_misses
        row[PASSAGE], row[PASSAGE_START], row[PASSAGE_END] = _overlap(
            tokens, start, first, _INT(-1), size, entry, passages, misses
        )
        length += passage_tokens
    score = weighted(
        row[QUESTION],
        ngrams[entry],
        answer_tokens > 0,
        row[ANSWER],
        answers.different[entry],
        passage_tokens > 0,
        row[PASSAGE],
    )
    threshold = limits.contamination_score_threshold
    decay = limits.perfect_match_decay_start, limits.perfect_match_decay_end
    row[SCORE] = adjusted(score, length, decay[0], decay[1], threshold)
    return bool(row[SCORE] >= threshold - 1e-12)
