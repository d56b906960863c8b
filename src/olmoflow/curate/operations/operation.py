"""What a map operation is: documents in, the same rows out, and which of them stay.

An operation looks at each document by itself, so a run may cut the documents into batches as it
likes and apply all operations to a batch before it turns to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcome:
    """What an operation makes of a batch.

    Attributes:
        documents: As many rows as came in, in their order; columns changed or added.
        keep: [rows] bool, which of them stay; None: all.
        errors: By row, why a document could not be worked on. It goes to ``errors/``.
        reasons: [rows], why a document goes, null where it stays; None: no reason of its own.
    """

    documents: pa.Table
    keep: NDArray[np.bool_] | None = None
    errors: dict[int, str] = field(default_factory=dict)
    reasons: pa.Array | None = None


class Operation(Protocol):
    """A filter, modifier or annotator. Its class's arguments are its settings."""

    def __call__(self, documents: pa.Table) -> Outcome:
        """Work on a batch: a table with at least the columns of `schema.DOCUMENTS`."""
        ...
