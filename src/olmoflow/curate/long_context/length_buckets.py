"""Documents by their length in tokens: 8–16K, 16–32K, 32–64K …"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import field, with_field
from olmoflow.errors import UserError

_EDGES = (8192, 16384, 32768, 65536, 131072)


class LengthBuckets:
    """Writes which bucket of lengths a document is in, and drops what is shorter than all.

    The name of a bucket is its bounds in units of 1024 tokens, ``8-16K``; the last is open,
    ``128K+``. A bucket has its lower bound and not its upper.

    Args:
        edges: Lower bounds of the buckets in tokens, rising.
        tokens: Field with the number of tokens, as a token count annotator writes it. None: tokens
            are estimated, as bytes of text over ``bytes_per_token``.
        bytes_per_token: For that. Dolma 3's web text has 36.5 TB in 8.14T tokens of Olmo 3's
            tokenizer; code has fewer bytes a token.
        output: Field that receives the name of the bucket.
        keep_shorter: Keep documents below the first edge, with no bucket.

    Raises:
        UserError: The edges do not rise.
    """

    def __init__(
        self,
        edges: Sequence[int] = _EDGES,
        tokens: str | None = None,
        bytes_per_token: float = 4.48,
        output: str = "metadata.length_bucket",
        keep_shorter: bool = False,
    ) -> None:
        rising = all(a < b for a, b in pairwise(edges))
        if not edges or edges[0] < 0 or not rising:
            raise UserError(f"edges={list(edges)}: expected numbers of tokens that rise")
        if bytes_per_token <= 0:
            raise UserError(f"bytes_per_token={bytes_per_token}: expected more than 0")
        self.edges, self.tokens, self.output = list(edges), tokens, output
        self.bytes_per_token, self.keep_shorter = bytes_per_token, keep_shorter
        ends = [*edges[1:], None]
        self.names = [_name(low, high) for low, high in zip(edges, ends, strict=True)]

    def __call__(self, documents: pa.Table) -> Outcome:
        """Annotate a batch."""
        lengths, errors = self._lengths(documents)
        places = np.searchsorted(self.edges, lengths, side="right") - 1
        names = [self.names[place] if place >= 0 else None for place in places]
        column = pa.array(names, pa.large_string())
        keep = None if self.keep_shorter else places >= 0
        return Outcome(with_field(documents, self.output, column), keep, errors)

    def _lengths(self, documents: pa.Table) -> tuple[np.ndarray, dict[int, str]]:
        if self.tokens is None:
            size = pc.binary_length(documents.column("text")).fill_null(0)
            return size.to_numpy() / self.bytes_per_token, {}
        values = field(documents, self.tokens).to_pylist()
        errors = {
            row: f"{self.tokens} is {value!r}, expected a number of tokens"
            for row, value in enumerate(values)
            if isinstance(value, bool) or not isinstance(value, int | float)
        }
        return np.array([0 if row in errors else v for row, v in enumerate(values)], float), errors


def _name(low: int, high: int | None) -> str:
    first = f"{low / 1024:g}"
    return f"{first}K+" if high is None else f"{first}-{high / 1024:g}K"
