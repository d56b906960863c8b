"""How annotations between 0 and 1 are spread: scores of quality, probabilities of a label."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

SCORE_BINS = 20
SCORE_EDGES = [number / SCORE_BINS for number in range(SCORE_BINS + 1)]
# A classifier with hundreds of labels makes hundreds of columns.
_MANY = 12


class Scores:
    """Histograms by column.

    Attributes:
        counts: By column [SCORE_BINS]; columns with other numbers are left out.
    """

    def __init__(self) -> None:
        self.counts: dict[str, list[int]] = {}

    def count(self, documents: pa.Table, known: set[str] | None = None) -> None:
        """Count the columns of numbers between 0 and 1.

        Args:
            documents: A batch.
            known: Columns to pass over.
        """
        for name in documents.column_names:
            if known is not None and name in known:
                continue
            if not pa.types.is_floating(documents.schema.field(name).type):
                continue
            if name not in self.counts and len(self.counts) == _MANY:
                continue
            values = documents.column(name).drop_null().to_numpy()
            values = values[~np.isnan(values)]
            if len(values) and (values.min() < 0 or values.max() > 1 + 1e-6):
                continue
            found = np.histogram(np.minimum(values, 1), SCORE_EDGES)[0]
            before = self.counts.get(name, [0] * SCORE_BINS)
            self.counts[name] = [a + int(b) for a, b in zip(before, found, strict=True)]
