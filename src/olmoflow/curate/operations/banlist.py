"""Lists of what is banned, an entry a line, and how URLs are looked up in them.

The published list of domains has 4.6 million. Whole strings are therefore looked up as sorted
64-bit hashes, 8 bytes an entry; that a string which is on no list has the hash of one that is comes
once in 10¹² lookups. Short lists of words are searched with an automaton (Aho-Corasick).
"""

from __future__ import annotations

import gzip
import zlib
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.hashes import hash_of, hashes_of
from olmoflow.curate.operations.arguments import refuse, require_file
from olmoflow.curate.operations.columns import Mask
from olmoflow.curate.strings import strings_of

_NEWLINE, _RETURN = 10, 13


@cache
def check(name: str, path: str) -> None:
    """Refuse a list that is missing, cannot be read, or has no entry.

    Nothing is made of its entries: the process that checks is often not the one that looks up.

    Raises:
        UserError: It names the step ``name`` and its argument ``banlist_file``.
    """
    if not _read(name, path, case_sensitive=True).strip(b"\r\n"):
        refuse(name, "banlist_file", path, "a file with an entry a line")


def on_list(strings: Any, name: str, path: str, case_sensitive: bool) -> Mask:
    """[strings], which of them are entries."""
    listed = hashes(name, path, case_sensitive)
    found = hashes_of(strings_of(strings))
    places = np.minimum(np.searchsorted(listed, found), len(listed) - 1)
    return np.asarray(listed[places] == found)


@cache
def hashes(name: str, path: str, case_sensitive: bool) -> NDArray[np.uint64]:
    """Of all entries, sorted."""
    data = np.frombuffer(_read(name, path, case_sensitive), np.uint8)
    lines = np.empty(np.count_nonzero(data == _NEWLINE) + 1, np.uint64)
    lines = lines[: _hash_lines(data, lines)]
    lines.sort()
    return lines


@cache
def texts(name: str, path: str, case_sensitive: bool) -> tuple[str, ...]:
    """The entries, each once."""
    lines = _read(name, path, case_sensitive).decode().split("\n")
    return tuple(dict.fromkeys(e for line in lines if (e := line.removesuffix("\r"))))


@cache
def automaton(name: str, path: str, case_sensitive: bool) -> Any:
    """Finds entries within a text; its indices are those of `texts`."""
    from ahocorasick_rs import BytesAhoCorasick

    return BytesAhoCorasick([entry.encode() for entry in texts(name, path, case_sensitive)])


def _read(name: str, path: str, case_sensitive: bool) -> bytes:
    file = require_file(name, "banlist_file", path)
    try:
        data = file.read_bytes()
        data = gzip.decompress(data) if file.suffix == ".gz" else data
        if data.isascii():
            return data if case_sensitive else data.lower()
        text = data.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = f"a text file in UTF-8, plain or .gz ({error})"
        refuse(name, "banlist_file", path, reason)
    return data if case_sensitive else text.lower().encode()


@njit(cache=True, nogil=True)
def _hash_lines(data: NDArray[np.uint8], lines: NDArray[np.uint64]) -> int:
    """Write the hash of each line that is not empty; how many there are."""
    count = start = 0
    for place in range(len(data) + 1):
        if place == len(data) or data[place] == _NEWLINE:
            end = place - 1 if place > start and data[place - 1] == _RETURN else place
            if end > start:
                lines[count] = hash_of(data, start, end, np.uint64(0))
                count += 1
            start = place + 1
    return count
