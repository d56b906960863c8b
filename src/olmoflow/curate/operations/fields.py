"""Operations on a document's fields: numbers, strings, the best of several scores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import require_order
from olmoflow.curate.operations.columns import numbers_of, scores_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import DOCUMENTS, field, with_field


@dataclass(frozen=True)
class FloatFilter:
    """Keep documents by a number.

    Args:
        float_field: The number.
        lower_bound: The lowest that stays.
        upper_bound: The highest that stays.
        negate: Keep those outside of the bounds instead.
        default: The number of a document that has none.
    """

    float_field: str
    lower_bound: float = 0.0
    upper_bound: float = math.inf
    negate: bool = False
    default: float = 0.0

    def __post_init__(self) -> None:
        require_order("float_filter", self.lower_bound, self.upper_bound)

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        numbers = numbers_of(documents, self.float_field, self.default)
        inside = (numbers >= self.lower_bound) & (numbers <= self.upper_bound)
        return Outcome(documents, inside != self.negate)


@dataclass(frozen=True)
class StringEqFilter:
    """Keep documents of which a field is a given string, or is not.

    Args:
        str_field: The field. A document without it does not have the string.
        eq: The string.
        keep_matches: Keep those that have it; else the others.
    """

    str_field: str
    eq: str
    keep_matches: bool = True

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        values = field(documents, self.str_field).cast(pa.large_string())
        equal = np.asarray(pc.fill_null(pc.equal(values, self.eq), False))
        return Outcome(documents, equal == self.keep_matches)


@dataclass(frozen=True)
class RenameModifier:
    """Give a field another name.

    Args:
        old_field: Its name. Columns below it (``OLD.label``) are renamed with it.
        new_field: The new one. A field of that name is replaced.
    """

    old_field: str
    new_field: str

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        old, new = self.old_field, self.new_field
        values = {new: field(documents, old)}
        for name in documents.column_names:
            if name.startswith(f"{old}."):
                values[new + name[len(old) :]] = documents.column(name)
        empty = pa.chunked_array([pa.nulls(len(documents), pa.large_string())])
        for name in documents.column_names:
            if name != old and not name.startswith(f"{old}."):
                continue
            # What every document has remains as a column, without values.
            if name in DOCUMENTS.names:
                documents = with_field(documents, name, empty)
            else:
                documents = documents.drop_columns([name])
        for name, column in values.items():
            if name != new or column.null_count < len(column) or len(values) == 1:
                documents = with_field(documents, name, column)
        return Outcome(documents)


@dataclass(frozen=True)
class ConstantAnnotator:
    """Give every document the same value of a field.

    Args:
        key: The field.
        value: The value.
    """

    key: str
    value: str | int | float | bool

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        scalar = pa.scalar(self.value)
        if isinstance(self.value, str):
            scalar = scalar.cast(pa.large_string())
        values = pa.repeat(scalar, len(documents))
        return Outcome(with_field(documents, self.key, pa.chunked_array([values])))


def _best(names: list[str], scores: NDArray[np.float64], lowest: float) -> pa.Array:
    """[documents] the name of the highest score, null where none reaches ``lowest``."""
    if not names:
        return pa.nulls(len(scores), pa.large_string())
    filled = np.where(np.isnan(scores), -math.inf, scores)
    places = filled.argmax(1)
    top = filled[np.arange(len(scores)), places]
    absent = (top < lowest) | (top == -math.inf)
    return pa.array(names, pa.large_string()).take(pa.array(places, mask=absent))


@dataclass(frozen=True)
class MaxExtractor:
    """Note which of several scores is the highest, by its name.

    Args:
        main_attribute: Where the scores stand: ``metadata.topic`` for ``metadata.topic.Sports``, ….
        output_attribute: Where to note it.
        lower_bound: A highest score below this is none: null is noted.
        keep_nulls: Keep the documents with null.
    """

    main_attribute: str
    output_attribute: str
    lower_bound: float = 0.0
    keep_nulls: bool = True

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        best = _best(*scores_of(documents, self.main_attribute), self.lower_bound)
        documents = with_field(documents, self.output_attribute, pa.chunked_array([best]))
        return Outcome(documents, None if self.keep_nulls else np.asarray(best.is_valid()))


@dataclass(frozen=True)
class DdMaxGetter:
    """Note which of the attributes with a prefix is the highest, without the prefix.

    Args:
        prefix: How their names begin.
        output_attribute: Where to note it; null if there is none.
        main_attribute: Where they stand; values are numbers, or Dolma's ``[[start, end, number]]``.
    """

    prefix: str
    output_attribute: str
    main_attribute: str = "attributes"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        names, scores = scores_of(documents, self.main_attribute)
        chosen = [k for k, name in enumerate(names) if name.startswith(self.prefix)]
        labels = [names[k].removeprefix(self.prefix) for k in chosen]
        best = _best(labels, scores[:, chosen], -math.inf)
        return Outcome(with_field(documents, self.output_attribute, pa.chunked_array([best])))
