"""Texts as the inside of JSON strings, compiled: a corpus is mostly text, and all of it is written.

What comes out is, byte by byte, what ``json.dumps(text, ensure_ascii=False)`` puts between its
quotation marks, in UTF-8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.strings import Strings

Bytes = NDArray[np.uint8]

_SHORT = {8: b"b", 9: b"t", 10: b"n", 12: b"f", 13: b"r", 34: b'"', 92: b"\\"}


def _escapes() -> Bytes:
    """[256], the character after the backslash; 1: ``u00`` and two digits; 0: as it stands."""
    table = np.zeros(256, np.uint8)
    table[:32] = 1
    for byte, letter in _SHORT.items():
        table[byte] = letter[0]
    return table


_ESCAPES = _escapes()
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def escaped(texts: Strings) -> Strings:
    """[texts], each with a backslash before what JSON wants one before."""
    start, end = texts.offsets[0], texts.offsets[-1]
    target = np.empty(_size(texts.data[start:end], _ESCAPES), np.uint8)
    offsets = np.empty_like(texts.offsets)
    _escape(texts.data, texts.offsets, _ESCAPES, _DIGITS, target, offsets)
    return Strings(target, offsets)


@njit(cache=True, nogil=True)
def _size(data: Bytes, escapes: Bytes) -> int:
    size = len(data)
    for k in range(len(data)):
        escape = escapes[data[k]]
        size += (escape > 0) + 4 * (escape == 1)
    return size


@njit(cache=True, nogil=True)
def _escape(
    data: Bytes,
    offsets: NDArray[np.int64],
    escapes: Bytes,
    digits: Bytes,
    target: Bytes,
    places: NDArray[np.int64],
) -> None:
    place = 0
    for i in range(len(offsets) - 1):
        places[i] = place
        for k in range(offsets[i], offsets[i + 1]):
            byte = data[k]
            escape = escapes[byte]
            if escape == 0:
                target[place] = byte
                place += 1
                continue
            target[place] = 92
            if escape > 1:
                target[place + 1] = escape
                place += 2
                continue
            target[place + 1] = 117  # u
            target[place + 2] = target[place + 3] = 48
            target[place + 4] = digits[byte >> 4]
            target[place + 5] = digits[byte & 15]
            place += 6
    places[len(offsets) - 1] = place
