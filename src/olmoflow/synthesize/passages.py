"""Documents cut into passages that a model can read whole.

A document that is too long is cut in two where it ends a paragraph nearest to its middle, or else a
line, a sentence or a word, and each half again until all fit. So the passages of a document are of
much the same length, and no scrap is left at its end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from olmoflow.documents import Document
from olmoflow.errors import UserError
from olmoflow.synthesize.prompt import digest_of
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.tokenizer import Tokenizer

_ENDS = tuple(map(re.compile, (r"\n\s*\n", r"\n", r"(?<=[.!?])\s+|(?<=[。！？])", r"\s+")))
_LEAST = 16
# Longer texts than this for each token that is allowed are cut without being counted.
_CHARACTERS_OF_TOKEN = 32


@dataclass(frozen=True)
class Passage:
    """A part of a document.

    Attributes:
        document: That it is a part of.
        number: Which part, from 1.
        count: How many parts the document has.
        text: Of the part.
    """

    document: Document
    number: int
    count: int
    text: str

    @property
    def digest(self) -> str:
        """The same for equal texts, 32 hexadecimal digits."""
        return digest_of([Message("user", self.text)])


@dataclass
class PassageCount:
    """What became of the documents.

    Attributes:
        documents: Read, and well formed.
        short: Passages that were too short.
        duplicates: Passages equal to an earlier one.
        over_limit: Passages left out because so many were not asked for.
        passages: That are left.
        bytes: Of their text, in UTF-8.
    """

    documents: int = 0
    short: int = 0
    duplicates: int = 0
    over_limit: int = 0
    passages: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Cutter:
    """Cuts texts.

    Args:
        max_tokens: Of a passage; None: any number.
        max_characters: Of a passage; None: any number.
        tokenizer: Counts tokens; needed for ``max_tokens``.

    Raises:
        UserError: A limit has no meaning, or there is none.
    """

    max_tokens: int | None = None
    max_characters: int | None = None
    tokenizer: Tokenizer | None = None

    def __post_init__(self) -> None:
        limits = {"max_tokens": self.max_tokens, "max_characters": self.max_characters}
        for name, limit in limits.items():
            if limit is not None and (type(limit) is not int or limit < _LEAST):
                raise UserError(
                    f"pipeline.passages.{name}={limit}: expected a whole number, at least "
                    f"{_LEAST}, or null"
                )
        if self.max_tokens is None and self.max_characters is None:
            raise UserError(
                "pipeline.passages.max_tokens: missing; expected a length in tokens, or in "
                "characters by pipeline.passages.max_characters"
            )

    def __call__(self, text: str) -> list[str]:
        """The passages of a text, in their order; none of a text that is blank."""
        return list(self._cut(text))

    def fits(self, text: str) -> bool:
        """Whether a text is short enough."""
        if self.max_characters is not None and len(text) > self.max_characters:
            return False
        if self.max_tokens is None:
            return True
        if len(text) > _CHARACTERS_OF_TOKEN * self.max_tokens:
            return False
        assert self.tokenizer is not None
        return len(self.tokenizer.encode(text)) <= self.max_tokens

    def _cut(self, text: str) -> Iterator[str]:
        text = text.rstrip().lstrip("\r\n")  # a first line of code keeps its indentation
        if not text.strip():
            return
        if self.fits(text):
            yield text
            return
        place = _place(text)
        yield from self._cut(text[:place])
        yield from self._cut(text[place:])


def _place(text: str) -> int:
    """Where to cut: the best of the places in the middle half."""
    middle, quarter = len(text) // 2, len(text) // 4
    for ends in _ENDS:
        places = (match.end() for match in ends.finditer(text, quarter, len(text) - quarter))
        nearest = min(places, key=lambda place: abs(place - middle), default=None)
        if nearest is not None:
            return nearest
    return middle


def passages_of(
    documents: Iterable[Document], cutter: Cutter, min_characters: int, count: PassageCount
) -> Iterator[Passage]:
    """The distinct passages of documents, in their order.

    Args:
        documents: In a fixed order.
        cutter: Cuts them.
        min_characters: A passage with fewer is left out.
        count: Counts them.
    """
    seen: set[int] = set()
    for document in documents:
        count.documents += 1
        texts = cutter(document.text)
        for number, text in enumerate(texts, start=1):
            passage = Passage(document, number, len(texts), text)
            if len(text) < min_characters:
                count.short += 1
                continue
            mark = int(passage.digest[:16], 16)
            if mark in seen:
                count.duplicates += 1
                continue
            seen.add(mark)
            count.passages += 1
            count.bytes += len(text.encode())
            yield passage
