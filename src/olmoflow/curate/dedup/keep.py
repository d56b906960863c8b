"""Which of a cluster's documents stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.curate.schema import field
from olmoflow.errors import UserError

RULES = ("first", "newest", "longest", "best")


@dataclass(frozen=True)
class KeepRule:
    """Ranks the documents of a cluster; among equals the first in the corpus stays.

    Args:
        name: ``first``; ``newest`` by ``created``, where a document without a date is the oldest;
            ``longest`` by the bytes of its text; ``best`` by the highest value of a field.
        score: The field of ``best``, by its dotted name; one without a number ranks last.

    Raises:
        UserError: There is no such rule, or it does not fit with ``score``.
    """

    name: str
    score: str | None = None

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise UserError(f"keep: found {self.name!r}, expected one of {', '.join(RULES)}")
        if (self.name == "best") != (self.score is not None):
            expected = "the field to compare" if self.name == "best" else "none"
            raise UserError(f"score: found {self.score!r}, expected {expected} with {self.name!r}")

    @property
    def fields(self) -> list[str]:
        """What it reads of a document."""
        fields = {"newest": ["created"], "longest": ["text"], "best": [str(self.score)]}
        return fields.get(self.name, [])

    def ranks(self, documents: pa.Table) -> NDArray[np.float64]:
        """[documents], where the highest stays."""
        if self.name == "newest":
            return np.array([_seconds(at) for at in documents.column("created").to_pylist()])
        if self.name == "longest":
            lengths = pc.fill_null(pc.binary_length(documents.column("text")), 0)
            return np.asarray(lengths, np.float64)
        if self.name == "best":
            values = field(documents, str(self.score)).to_pylist()
            return np.array([_number(value) for value in values])
        return np.zeros(len(documents))


def _seconds(created: str | None) -> float:
    """Seconds since 1970 of a date in ISO 8601, UTC if it does not say."""
    try:
        at = datetime.fromisoformat((created or "").strip())
    except ValueError:
        return -np.inf
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return -np.inf
    return -np.inf if np.isnan(number) else number
