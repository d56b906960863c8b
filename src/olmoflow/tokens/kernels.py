r"""Byte-level BPE on whole batches of documents, compiled.

Two steps, exactly those of a Hugging Face ``tokenizer.json`` with cl100k's pre-tokenization:

1. `_piece_end` cuts UTF-8 text where this regular expression does (tiktoken's ``cl100k_base``, as
   Olmo 3's tokenizer has it), reading the class of each character from a table::

       (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
       | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+

2. Within a piece the pair of lowest rank is merged, leftmost first, until no pair has a rank. Short
   pieces, nearly all, are scanned; long ones use a heap. Pieces recur, so their tokens are cached.

The functions hold no Python object, allocate nothing for a token and release the GIL.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit

Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
Tokens = NDArray[np.uint32]

OTHER, LETTER, NUMBER, SPACE, NEWLINE, END = range(6)

# Longer pieces are rare: they are neither cached nor merged by scanning.
SHORT = 48
# Ranks and token ids have 20 bits each.
_NO_RANK = 1 << 40
_PRODUCT = (1 << 20) - 1
_EMPTY = -1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Merges(NamedTuple):
    """What a BPE knows: ``byte_ids`` [256] and a hash table of merges, see `fill_pairs`."""

    byte_ids: Integers
    keys: Integers
    values: Integers


class PieceCache(NamedTuple):
    """Pieces already merged.

    ``slots`` [2**k, 4] is a hash table: the piece itself if it has at most 8 bytes, else its hash;
    place in ``pieces`` << 16 | tokens << 8 | bytes; its one or two tokens, or their place in
    ``tokens``. ``used`` [3] counts what is in use of slots, pieces and tokens.
    """

    slots: Integers
    pieces: Bytes
    tokens: Tokens
    used: Integers


@njit(cache=True, nogil=True)
def classify(text: Bytes, ends: Integers, classes: Bytes, kinds: Bytes) -> None:
    """Write the class of each character into ``kinds``, once for each of its bytes.

    Args:
        text: Documents in UTF-8, each followed by a NUL.
        ends: [documents], where that NUL is.
        classes: [0x110000], the class of each code point.
        kinds: As long as ``text``; `END` goes to ``ends``.
    """
    i = 0
    while i < len(text):
        first = text[i]
        if first < 0x80:
            kinds[i] = classes[first]
            i += 1
            continue
        if first < 0xE0:
            size, point = 2, (first & 0x1F)
        elif first < 0xF0:
            size, point = 3, (first & 0x0F)
        else:
            size, point = 4, (first & 0x07)
        for k in range(i + 1, i + size):
            point = point << 6 | (text[k] & 0x3F)
        for k in range(i, i + size):
            kinds[k] = classes[point]
        i += size
    for document in range(len(ends)):
        kinds[ends[document]] = END


@njit(cache=True, nogil=True)
def _character_end(text: Bytes, i: int) -> int:
    """Where the character that starts at byte ``i`` ends."""
    i += 1
    while text[i] & 0xC0 == 0x80:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _contraction(text: Bytes, i: int) -> int:
    """Bytes of the English contraction whose apostrophe is at ``i``, 0 if there is none."""
    first = text[i + 1] | 0x20
    if first == ord("s") or first == ord("t") or first == ord("m") or first == ord("d"):
        return 2
    # Not the NUL after the document, so there is a byte behind it.
    if first == ord("r") or first == ord("v"):
        return 3 if text[i + 2] | 0x20 == ord("e") else 0
    if first == ord("l"):
        return 3 if text[i + 2] | 0x20 == ord("l") else 0
    if text[i + 1] == 0xC5:  # ſ, which is an s without its case
        return 3 if text[i + 2] == 0xBF else 0
    return 0


@njit(cache=True, nogil=True)
def _number_end(text: Bytes, kinds: Bytes, i: int) -> int:
    """End of at most three digits."""
    for _ in range(3):
        if kinds[i] != NUMBER:
            break
        i = _character_end(text, i)
    return i


@njit(cache=True, nogil=True)
def _whitespace_end(text: Bytes, kinds: Bytes, i: int) -> int:
    r"""``\s*[\r\n]+|\s+(?!\S)|\s+``: up to the last line end, else all but the last space."""
    start, after_newline, last = i, 0, i
    while kinds[i] == SPACE or kinds[i] == NEWLINE:
        last = i
        i = _character_end(text, i)
        if kinds[last] == NEWLINE:
            after_newline = i
    if after_newline:
        return after_newline
    return i if kinds[i] == END or last == start else last


@njit(cache=True, nogil=True)
def _piece_end(text: Bytes, kinds: Bytes, i: int) -> int:
    """Where the piece that starts at byte ``i`` ends."""
    kind = kinds[i]
    after = i
    if kind == NUMBER:
        return _number_end(text, kinds, i)
    if kind != LETTER:
        after = _character_end(text, i)
        if text[i] == ord("'"):
            length = _contraction(text, i)
            if length:
                return i + length
        if kinds[after] != LETTER or kind == NEWLINE:
            if kind != OTHER and (text[i] != ord(" ") or kinds[after] != OTHER):
                return _whitespace_end(text, kinds, i)
            while kinds[after] == OTHER:
                after += 1
            while kinds[after] == NEWLINE:
                after += 1
            return after
    while kinds[after] == LETTER:
        after += 1
    return after


@njit(cache=True, nogil=True)
def _slot(key: Any, size: int) -> np.int64:
    """Where the search for a key starts in a hash table of ``size`` (a power of two) slots."""
    return np.int64((np.uint64(key) * _GOLDEN) >> np.uint64(24)) & (size - 1)


@njit(cache=True, nogil=True)
def fill_pairs(pairs: Integers, products: Integers, keys: Integers, values: Integers) -> None:
    """Fill the hash table of merges.

    Args:
        pairs: [n, 2], the pair of tokens of rank 0 … n - 1.
        products: [n], the token that each makes.
        keys: [2**k], filled with -1; receives ``left << 32 | right``.
        values: [2**k], receives ``rank << 20 | product``.
    """
    for rank in range(len(pairs)):
        key = pairs[rank, 0] << 32 | pairs[rank, 1]
        slot = _slot(key, len(keys))
        while keys[slot] != _EMPTY:
            slot = (slot + 1) & (len(keys) - 1)
        keys[slot] = key
        values[slot] = rank << 20 | products[rank]


@njit(cache=True, nogil=True)
def _merge(left: Any, right: Any, keys: Integers, values: Integers) -> Any:
    """``rank << 20 | product`` of a pair of tokens, `_NO_RANK` if nothing merges them."""
    key = left << 32 | right
    slot = _slot(key, len(keys))
    while keys[slot] != key:
        if keys[slot] == _EMPTY:
            return _NO_RANK
        slot = (slot + 1) & (len(keys) - 1)
    return values[slot]


@njit(cache=True, nogil=True)
def _merge_short(
    symbols: Integers, ranks: Integers, n: int, keys: Integers, values: Integers
) -> int:
    """Merge ``symbols[:n]`` in place by scanning; how many tokens are left."""
    for i in range(n - 1):
        ranks[i] = _merge(symbols[i], symbols[i + 1], keys, values)
    while n > 1:
        best, at = _NO_RANK, -1
        for i in range(n - 1):
            if ranks[i] < best:
                best, at = ranks[i], i
        if at < 0:
            break
        symbols[at] = best & _PRODUCT
        n -= 1
        for i in range(at + 1, n):
            symbols[i] = symbols[i + 1]
            ranks[i - 1] = ranks[i]
        if at > 0:
            ranks[at - 1] = _merge(symbols[at - 1], symbols[at], keys, values)
        if at < n - 1:
            ranks[at] = _merge(symbols[at], symbols[at + 1], keys, values)
    return n


@njit(cache=True, nogil=True)
def _merge_long(symbols: Integers, keys: Integers, values: Integers) -> int:
    """`_merge_short` in O(n log n): a heap of merges over a doubly linked list of symbols."""
    n = len(symbols)
    following = np.arange(1, n + 1)
    previous = np.arange(-1, n - 1)
    heap: Any = [(_NO_RANK, 0)]
    for i in range(n - 1):
        rank = _merge(symbols[i], symbols[i + 1], keys, values)
        if rank < _NO_RANK:
            heap.append((rank, i))
    heapq.heapify(heap)
    while True:
        rank, at = heapq.heappop(heap)
        if rank == _NO_RANK:
            break
        right = following[at]
        # Outdated if one of the two symbols has been merged since.
        if (
            symbols[at] < 0
            or right == n
            or _merge(symbols[at], symbols[right], keys, values) != rank
        ):
            continue
        symbols[at] = rank & _PRODUCT
        symbols[right] = -1
        right = following[at] = following[right]
        left = previous[at]
        if right < n:
            previous[right] = at
            rank = _merge(symbols[at], symbols[right], keys, values)
            if rank < _NO_RANK:
                heapq.heappush(heap, (rank, at))
        if left >= 0:
            rank = _merge(symbols[left], symbols[at], keys, values)
            if rank < _NO_RANK:
                heapq.heappush(heap, (rank, left))
    kept = 0
    for i in range(n):
        if symbols[i] >= 0:
            symbols[kept] = symbols[i]
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def _same(text: Bytes, i: int, j: int, pieces: Bytes, start: int) -> bool:
    """Whether ``text[i:j]`` is the piece that starts at ``start``."""
    for k in range(j - i):  # noqa: SIM110
        if text[i + k] != pieces[start + k]:
            return False
    return True


@njit(cache=True, nogil=True)
def _remember(
    piece: Bytes, key: np.int64, slot: np.int64, symbols: Integers, n: int, cache: PieceCache
) -> None:
    """Put a piece and its ``n`` tokens into the cache, at the empty slot where it belongs."""
    slots, pieces, tokens, used = cache
    if 2 * used[0] >= len(slots) or used[1] + SHORT > len(pieces) or used[2] + SHORT > len(tokens):
        # Start anew rather than evict: what is frequent comes back at once.
        slots[:] = 0
        used[:] = 0
        slot = _slot(key, len(slots))
    slots[slot, 0] = key
    slots[slot, 1] = used[1] << 16 | n << 8 | len(piece)
    slots[slot, 2] = symbols[0] if n <= 2 else used[2]
    slots[slot, 3] = symbols[1]
    if len(piece) > 8:
        pieces[used[1] : used[1] + len(piece)] = piece
        used[1] += len(piece)
    if n > 2:
        for k in range(n):
            tokens[used[2] + k] = symbols[k]
        used[2] += n
    used[0] += 1


@njit(cache=True, nogil=True)
def encode_documents(
    text: Bytes,
    ends: Integers,
    kinds: Bytes,
    merges: Merges,
    cache: PieceCache,
    tokens: Tokens,
    counts: Integers,
) -> int:
    """Encode documents that lie one after the other.

    Args:
        text: Documents in UTF-8, each followed by a NUL.
        ends: [documents], where that NUL is.
        kinds: From `classify`.
        merges: The vocabulary.
        cache: Pieces already merged; filled further.
        tokens: Receives the tokens; as long as ``text``.
        counts: [documents], receives the number of tokens of each.

    Returns:
        The number of tokens.
    """
    # The hot path of a cached piece stands here in full, on plain arrays: each access to a field
    # of a tuple, and each array handed to an inlined function, counts a reference.
    byte_ids, keys, values = merges
    slots, pieces, cached, _ = cache
    mask = len(slots) - 1
    symbols = np.empty(SHORT, np.int64)
    ranks = np.empty(SHORT, np.int64)
    total = 0
    i = 0
    for document in range(len(ends)):
        before = total
        while i < ends[document]:
            j = _piece_end(text, kinds, i)
            if j - i > SHORT:
                piece = byte_ids[text[i:j]]
                n = _merge_long(piece, keys, values)
                for k in range(n):
                    tokens[total + k] = piece[k]
                total += n
                i = j
                continue
            key = np.uint64(0)
            if j - i <= 8:
                for k in range(i, j):
                    key = key << np.uint64(8) | np.uint64(text[k])
            else:
                for k in range(i, j):
                    key = (key ^ np.uint64(text[k])) * np.uint64(0x100000001B3)
            slot = _slot(key, len(slots))
            while slots[slot, 1] != 0:
                if (
                    slots[slot, 0] == np.int64(key)
                    and slots[slot, 1] & 0xFF == j - i
                    and (j - i <= 8 or _same(text, i, j, pieces, slots[slot, 1] >> 16))
                ):
                    break
                slot = (slot + 1) & mask
            n = slots[slot, 1] >> 8 & 0xFF
            if n == 0:
                for k in range(j - i):
                    symbols[k] = byte_ids[text[i + k]]
                n = _merge_short(symbols, ranks, j - i, keys, values)
                _remember(text[i:j], np.int64(key), slot, symbols, n, cache)
                for k in range(n):
                    tokens[total + k] = symbols[k]
            elif n <= 2:
                tokens[total] = slots[slot, 2]
                if n == 2:
                    tokens[total + 1] = slots[slot, 3]
            else:
                start = slots[slot, 2]
                for k in range(n):
                    tokens[total + k] = cached[start + k]
            total += n
            i = j
        counts[document] = total - before
        i = ends[document] + 1
    return total
