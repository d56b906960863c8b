"""Whole documents side by side in one row: nothing is cut, nothing is padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import IGNORE, MicroBatch


@dataclass(frozen=True)
class DocumentReader:
    """Reads documents of which shards say what is learnt.

    Raises:
        UserError: The shards hold plain documents.
    """

    shards: TokenShards

    def __post_init__(self) -> None:
        if self.shards.targets is None:
            raise UserError(
                f"shards: {self.shards.files.name} holds plain documents; expected conversations "
                "or pairs (olmoflow tokenize conversations=… or preferences=…)"
            )

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document, int64 [documents]."""
        return np.diff(self.shards.document_starts, append=len(self.shards))

    def row(self, documents: Sequence[int]) -> MicroBatch:
        """One row of documents.

        Returns:
            ``input_ids`` and ``labels``, int64 [1, T], and ``document_ids``, int32 [1, T], which
            count the documents of the row. What is not learnt has no label, nor has the last token
            of a document.
        """
        lengths = self.lengths[list(documents)]
        tokens = np.empty(int(lengths.sum()), np.int64)
        labels = np.full(len(tokens), IGNORE, np.int64)
        end = 0
        for document, length in zip(documents, lengths.tolist(), strict=True):
            here = slice(end, end + length)
            self._read(document, tokens[here], labels[here])
            end += length
        ids = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        named = {"input_ids": tokens, "labels": labels, "document_ids": ids}
        return {name: torch.from_numpy(values)[None] for name, values in named.items()}

    def expect(self, documents: NDArray[np.int64]) -> None:
        """Let remote shards fetch what these documents lie in."""
        if self.shards.remote:
            starts = self.shards.document_starts[documents]
            self.shards.expect(starts, self.lengths[documents])

    def _read(self, document: int, tokens: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        start = int(self.shards.document_starts[document])
        self.shards.read_into(start, tokens)
        learnt = np.empty(len(tokens), np.bool_)
        assert self.shards.targets is not None
        self.shards.targets.mask(start, learnt)
        labels[:-1] = np.where(learnt[1:], tokens[1:], IGNORE)
