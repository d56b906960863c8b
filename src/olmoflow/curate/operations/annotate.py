"""Annotators of a text's tokens and of how well it can be compressed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.columns import text_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.operations.token_ids import encode, require_tokenizer
from olmoflow.curate.schema import with_field
from olmoflow.curate.strings import strings_of

# What a gzip file has beside the deflated data, and a zlib stream has: header and checksum.
_GZIP_FRAME, _ZLIB_FRAME = 18, 6


@dataclass(frozen=True)
class TokenCountAnnotator:
    """Note how many tokens a text has.

    Args:
        tokenizer_name: See `NgramRepetitionFilter`.
        output_field: Where to note it.
        text_field: The text.
    """

    tokenizer_name: str
    output_field: str
    text_field: str = "text"

    def __post_init__(self) -> None:
        require_tokenizer("token_count_annotator", "tokenizer_name", self.tokenizer_name)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        _, offsets = encode(self.tokenizer_name, text_of(documents, self.text_field))
        counts = pa.array(np.diff(offsets))
        return Outcome(with_field(documents, self.output_field, pa.chunked_array([counts])))


@dataclass(frozen=True)
class GzipAnnotator:
    """Note the bytes of a text as a gzip file, divided by its bytes in UTF-8.

    Low: it repeats itself. High: it is noise, or short. 1 for an empty text (of which datamap-rs
    notes nothing). The compressor is zlib; that of datamap-rs makes files of nearly the same size.

    Args:
        anno_field: Where to note it.
        text_field: The text.
    """

    anno_field: str
    text_field: str = "text"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        texts = strings_of(text_of(documents, self.text_field))
        data = memoryview(texts.data.data)
        ratios = np.ones(texts.number)
        for row in range(texts.number):
            start, end = int(texts.offsets[row]), int(texts.offsets[row + 1])
            if end > start:
                size = len(zlib.compress(data[start:end], 6)) - _ZLIB_FRAME + _GZIP_FRAME
                ratios[row] = size / (end - start)
        column = pa.chunked_array([pa.array(ratios)])
        return Outcome(with_field(documents, self.anno_field, column))
