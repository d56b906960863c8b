"""A conversation as token ids, and which of them the model learns.

The ids are those of the whole rendered text. Its special tokens cut it into pieces of plain text,
which the compiled encoder takes; tokens of a byte-level vocabulary stand for a known number of
bytes, so every token's place in the text is known too. What is learnt is derived twice, and a
conversation on which the two do not agree is set apart:

- from the text: the characters that the assistant says (`spans`) must begin and end with tokens;
- from the ids alone: the opening token, the ids of the header, and then all up to a closing token.

A message that holds the text of one of these tokens could forge a turn, and is set apart as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message
from olmoflow.tokens.chat.forging import forgery, forging_tokens
from olmoflow.tokens.chat.spans import (
    Learn,
    Span,
    UnderivableSpans,
    find_frame,
    learnt_characters,
)
from olmoflow.tokens.chat.template import ChatTemplate
from olmoflow.tokens.encoder import BatchEncoder
from olmoflow.tokens.tokenizer import Tokenizer

__all__ = ["ConversationEncoder", "Rendered", "UnderivableSpans"]


class Rendered(NamedTuple):
    """A conversation as tokens.

    Attributes:
        ids: Token ids, uint32 [tokens]; the last is the end of the document.
        spans: Tokens [start, end) that are learnt.
    """

    ids: NDArray[np.uint32]
    spans: tuple[Span, ...]


class ConversationEncoder:
    """Renders and encodes conversations; not thread-safe.

    Args:
        tokenizer: Byte-level.
        template: Writes the conversations, with the tokenizer's own names of its tokens.

    Raises:
        UserError: The tokenizer lacks the template's special tokens, or the template does not mark
            the assistant's turns.
    """

    def __init__(self, tokenizer: Tokenizer, template: ChatTemplate) -> None:
        template.check(tokenizer)
        self.tokenizer, self.template = tokenizer, template.with_tokens_of(tokenizer)
        self._encoder = BatchEncoder(tokenizer.backend)
        self._frame = find_frame(self.template)
        added = tokenizer.backend.get_added_tokens_decoder()
        self._added = {token.content: id_ for id_, token in added.items()}
        self._sizes = tokenizer.token_sizes()
        for text, id_ in self._added.items():
            self._sizes[id_] = len(text.encode())
        longest_first = sorted(self._added, key=len, reverse=True)
        self._splitter = re.compile(f"({'|'.join(map(re.escape, longest_first))})")
        self._forging = forging_tokens(self.template, self._frame)
        self._opener = self._id_of(self._frame.opener)
        self._closers = np.array([self._id_of(text) for text in self._frame.closers])
        self._header = self._encode_texts([self._frame.header])[0]

    def encode(self, messages: Sequence[Message], learn: Learn = "all") -> Rendered:
        """Encode a conversation.

        Args:
            messages: Its turns.
            learn: Which of the assistant's turns are learnt: ``all``, or the ``last``.

        Raises:
            UnderivableSpans: It cannot be said for certain what is to be learnt; the row is to be
                set apart and counted.
        """
        (found,) = self.encode_many([messages], learn)
        if isinstance(found, UnderivableSpans):
            raise found
        return found

    def encode_many(
        self, conversations: Sequence[Sequence[Message]], learn: Learn = "all"
    ) -> list[Rendered | UnderivableSpans]:
        """`encode` of many, fast; in place of one that has to be set apart stands the reason."""
        written = [self._write(messages, learn) for messages in conversations]
        texts = [each[0] for each in written if not isinstance(each, UnderivableSpans)]
        ids = iter(self._encode_texts(texts))
        return [
            each if isinstance(each, UnderivableSpans) else self._placed(next(ids), *each, learn)
            for each in written
        ]

    def _write(
        self, messages: Sequence[Message], learn: Learn
    ) -> tuple[str, list[Span]] | UnderivableSpans:
        try:
            self._refuse_forged(messages)
            return learnt_characters(self.template, messages, self._frame.closers, learn)
        except UnderivableSpans as error:
            return error

    def _refuse_forged(self, messages: Sequence[Message]) -> None:
        for place, message in enumerate(messages):
            if reason := forgery(message, self._forging):
                raise UnderivableSpans(f"messages[{place}] {reason}")

    def _encode_texts(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        """Ids of texts, their special tokens recognised, as `tokenizers` gives them."""
        pieces = [[piece for piece in self._splitter.split(text) if piece] for text in texts]
        plain = [piece for each in pieces for piece in each if piece not in self._added]
        if plain:
            encoded = self._encoder.encode(plain)
            parts = iter(np.split(encoded.ids, encoded.counts.cumsum()[:-1]))
        else:
            parts = iter([])
        return [
            np.concatenate(
                [np.empty(0, np.uint32)]
                + [
                    np.array([self._added[piece]], np.uint32)
                    if piece in self._added
                    else next(parts)
                    for piece in each
                ]
            )
            for each in pieces
        ]

    def _placed(
        self, ids: NDArray[np.uint32], text: str, characters: list[Span], learn: Learn
    ) -> Rendered | UnderivableSpans:
        try:
            spans = self._by_offsets(ids, text, characters)
            scanned = self._by_scanning(ids)
            if spans != (scanned if learn == "all" else scanned[-1:]):
                raise UnderivableSpans("offsets and a scan of the ids find different turns")
        except UnderivableSpans as error:
            return error
        if ids[-1] != self.tokenizer.eos_id:
            ids = np.append(ids, np.uint32(self.tokenizer.eos_id))
        return Rendered(ids, tuple(spans))

    def _by_offsets(self, ids: NDArray[np.uint32], text: str, characters: list[Span]) -> list[Span]:
        """Tokens that stand for spans of characters."""
        borders = np.concatenate([[0], self._sizes[ids].cumsum()])
        size = len(text) if text.isascii() else len(text.encode())
        if borders[-1] != size:
            raise UnderivableSpans(f"{size} bytes of text have tokens of {borders[-1]} bytes")
        wanted = np.array(_in_bytes(text, [place for span in characters for place in span]))
        places = borders.searchsorted(wanted)
        if (borders[places] != wanted).any():
            raise UnderivableSpans("a token holds both the assistant's words and what is around")
        return [(int(a), int(b)) for a, b in places.reshape(-1, 2)]

    def _by_scanning(self, ids: NDArray[np.uint32]) -> list[Span]:
        """Tokens between a header and a closing token, the latter included."""
        size = len(self._header)
        starts = np.flatnonzero(ids == self._opener) + 1
        starts = starts[starts + size <= len(ids)]
        same = (ids[starts[:, None] + np.arange(size)] == self._header).all(axis=1)
        starts = starts[same] + size
        ends = np.flatnonzero(np.isin(ids, self._closers)) + 1
        at = ends.searchsorted(starts, side="right")
        if len(at) and at[-1] >= len(ends):
            raise UnderivableSpans("a turn of the assistant does not end")
        return list(zip(starts.tolist(), ends[at].tolist(), strict=True))

    def _id_of(self, token: str) -> int:
        if token not in self._added:
            raise UserError(
                f"template {self.template.name}: the tokenizer {self.tokenizer.name} has no token "
                f"{token}; expected one that has"
            )
        return self._added[token]


def _in_bytes(text: str, places: list[int]) -> list[int]:
    """Places in a text, ascending, counted in UTF-8 bytes."""
    if text.isascii():
        return places
    found, last, size = [], 0, 0
    for place in places:
        size += len(text[last:place].encode())
        last = place
        found.append(size)
    return found
