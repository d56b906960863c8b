"""Many texts to token ids at once.

A byte-level BPE with cl100k's pre-tokenization (Olmo 3's tokenizer and those that ``bpe.py``
trains) runs in compiled code, `kernels`; any other tokenizer runs in Hugging Face ``tokenizers``.
The ids are those of `tokenizers` in both cases, but for one thing that is meant: the text of a
special token (``<|endoftext|>``) is encoded as the text that it is, so a corpus cannot forge one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers.pre_tokenizers import Split

# cl100k's pattern as `tokenizers` writes it; tiktoken's own spelling of it has possessive
# quantifiers, which Oniguruma, the engine of `tokenizers`, reads as something else.
CL100K_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CACHED_PIECES = 1 << 17


class Encoded(NamedTuple):
    """Token ids of several texts, one after the other.

    ``ids`` uint32 [tokens]; ``counts`` int64 [texts], tokens of each; ``sizes`` int64 [texts],
    UTF-8 bytes of each.
    """

    ids: NDArray[np.uint32]
    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]


class BatchEncoder:
    """Encodes texts with a tokenizer; not thread-safe.

    Args:
        backend: The tokenizer.

    Attributes:
        compiled: Whether this tokenizer runs in compiled code.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        # A copy, because reading special tokens as text is a setting of the tokenizer.
        self._backend = tokenizers.Tokenizer.from_str(backend.to_str())
        self._backend.encode_special_tokens = True
        self._tables = _compile(json.loads(backend.to_str()))
        self.compiled = self._tables is not None

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode texts; no special token is added."""
        data = [text.encode() for text in texts]
        sizes = np.fromiter(map(len, data), np.int64, len(data))
        tables = self._tables
        if tables is None:
            return self._encode_uncompiled(texts, sizes)
        odd = np.array([tables.has_literal(each) for each in data], bool)
        if not odd.any():
            return tables.encode(data, sizes)
        ids = [np.empty(0, np.uint32)] * len(data)
        plain = [each for each, is_odd in zip(data, odd, strict=True) if not is_odd]
        for place, found in zip(
            np.flatnonzero(~odd).tolist(), tables.encode_each(plain), strict=True
        ):
            ids[place] = found
        for place in np.flatnonzero(odd).tolist():
            ids[place] = self._encode_uncompiled([texts[place]], sizes[place : place + 1]).ids
        return Encoded(np.concatenate(ids), np.array([*map(len, ids)], np.int64), sizes)

    def _encode_uncompiled(self, texts: Sequence[str], sizes: NDArray[np.int64]) -> Encoded:
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [np.asarray(encoding.ids, np.uint32) for encoding in encodings]
        counts = np.fromiter(map(len, ids), np.int64, len(ids))
        return Encoded(np.concatenate(ids) if ids else np.empty(0, np.uint32), counts, sizes)


class _Tables:
    """What `kernels.encode_documents` needs of a tokenizer."""

    def __init__(
        self, byte_ids: list[int], pairs: list[tuple[int, int]], products: list[int]
    ) -> None:
        from olmoflow.tokens import kernels

        size = 1 << (2 * len(pairs) + 1).bit_length()
        keys, values = np.full(size, -1, np.int64), np.zeros(size, np.int64)
        kernels.fill_pairs(
            np.array(pairs, np.int64).reshape(-1, 2), np.array(products, np.int64), keys, values
        )
        self._merges = kernels.Merges(np.array(byte_ids, np.int64), keys, values)
        self._cache = kernels.PieceCache(
            np.zeros((_CACHED_PIECES, 4), np.int64),
            np.zeros(16 * _CACHED_PIECES, np.uint8),
            np.zeros(8 * _CACHED_PIECES, np.uint32),
            np.zeros(3, np.int64),
        )
        self.literals: list[bytes] = []
        self.prefixes: set[bytes] = set()

    def has_literal(self, text: bytes) -> bool:
        """Whether an added token that is text may occur, which only `tokenizers` looks for."""
        return any(p in text for p in self.prefixes) and any(t in text for t in self.literals)

    def encode(self, data: list[bytes], sizes: NDArray[np.int64]) -> Encoded:
        from olmoflow.tokens import kernels

        text = np.frombuffer(b"\0".join(data) + b"\0", np.uint8)
        ends = np.cumsum(sizes + 1) - 1
        kinds = np.empty(len(text), np.uint8)
        kernels.classify(text, ends, character_classes(), kinds)
        ids = np.empty(len(text), np.uint32)
        counts = np.empty(len(data), np.int64)
        total = kernels.encode_documents(text, ends, kinds, self._merges, self._cache, ids, counts)
        return Encoded(ids[:total], counts, sizes)

    def encode_each(self, data: list[bytes]) -> list[NDArray[np.uint32]]:
        """The ids of each text."""
        if not data:
            return []
        found = self.encode(data, np.fromiter(map(len, data), np.int64, len(data)))
        return np.split(found.ids, found.counts.cumsum()[:-1])


@cache
def character_classes() -> NDArray[np.uint8]:
    r"""Class of every code point, ``uint8`` [0x110000], as the engine of `tokenizers` sees it.

    Python's ``unicodedata`` may know another version of Unicode, so `tokenizers` itself is asked
    for its ``\p{L}``, ``\p{N}`` and ``\s``.
    """
    from olmoflow.tokens import kernels

    # No version of Unicode has assigned anything between these planes, or above them, that is
    # neither a private use nor a format character.
    points = np.array([*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE0200)])
    text = "".join(map(chr, points.tolist()))
    classes = np.full(0x110000, kernels.OTHER, np.uint8)
    for pattern, kind in (
        (r"\p{L}+", kernels.LETTER),
        (r"\p{N}+", kernels.NUMBER),
        (r"\s+", kernels.SPACE),
    ):
        matched = np.ones(len(points), bool)
        split = Split(tokenizers.Regex(pattern), "removed")
        for _, (start, end) in split.pre_tokenize_str(text):
            matched[start:end] = False
        classes[points[matched]] = kind
    classes[[ord("\r"), ord("\n")]] = kernels.NEWLINE
    return classes


def byte_characters() -> list[str]:
    """The character by which byte-level vocabularies write each of the 256 bytes (GPT-2's)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(0xAE, 0x100)]
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def _compile(description: dict[str, Any]) -> _Tables | None:
    """Tables for the compiled encoder, or None for a tokenizer that it does not know.

    Merging by rank gives what `tokenizers` gives if the merges are in the order of the tokens that
    they make and each joins two tokens that exist by then.
    """
    model, added = description["model"], description["added_tokens"]
    plain = not any(
        model.get(key)
        for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    )
    if model["type"] != "BPE" or not plain or description["normalizer"] is not None:
        return None
    if not _is_cl100k(description["pre_tokenizer"]):
        return None
    vocabulary: dict[str, int] = model["vocab"]
    byte_ids = [vocabulary.get(character, -1) for character in byte_characters()]
    if min(byte_ids) < 0 or max(vocabulary.values()) >= 1 << 20:
        return None
    joined = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    pairs = [(vocabulary[left], vocabulary[right]) for left, right in joined]
    products = [vocabulary[left + right] for left, right in joined]
    made = set(byte_ids)
    for (left, right), product in zip(pairs, products, strict=True):
        if left not in made or right not in made:
            return None
        made.add(product)
    if any(a > b for a, b in itertools.pairwise(products)):
        return None
    tables = _Tables(byte_ids, pairs, products)
    tables.literals = [t["content"].encode() for t in added if not t["special"]]
    tables.prefixes = {literal[:3] for literal in tables.literals}
    return tables


def _is_cl100k(pre_tokenizer: dict[str, Any] | None) -> bool:
    steps = (pre_tokenizer or {}).get("pretokenizers", [])
    if [step["type"] for step in steps] != ["Split", "ByteLevel"]:
        return False
    split, byte_level = steps
    # Keeping what matches and keeping what lies between matches are one: every text is matched
    # from end to end.
    keeps_all = (split["behavior"], split["invert"]) in (("Isolated", False), ("Removed", True))
    return (
        keeps_all
        and split["pattern"] == {"Regex": CL100K_PATTERN}
        and not byte_level["add_prefix_space"]
        and not byte_level["use_regex"]
    )
