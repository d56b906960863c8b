"""What a filter of conversations leaves: those with a fault go, each for its own reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from olmoflow.curate.operations.operation import Outcome


def without_faults(
    documents: pa.Table, faults: Sequence[str | None], errors: dict[int, str]
) -> Outcome:
    """Keep the documents of which nothing is to be said.

    Args:
        documents: A batch.
        faults: [rows], why a document goes; None: it stays.
        errors: By row, why a document could not be judged.
    """
    keep = np.array([fault is None for fault in faults], np.bool_)
    return Outcome(documents, keep, errors, pa.array(faults, pa.large_string()))
