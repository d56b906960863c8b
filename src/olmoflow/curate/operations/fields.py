"""Operations on a document's fields: numbers, strings, the best of several scores."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.curate.operations.arguments import require_order
from olmoflow.curate.operations.columns import objects_of, scores_of
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import DOCUMENTS, field, with_field


@dataclass(frozen=True)
class FloatFilter:
    """Keep documents by a number, compared in single precision as datamap-rs does.

    Args:
        float_field: The number. Something else there is an error of the document.
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
        numbers, errors = self._numbers(documents)
        lower, upper = np.float32(self.lower_bound), np.float32(self.upper_bound)
        inside = (numbers >= lower) & (numbers <= upper)
        return Outcome(documents, inside != self.negate, errors)

    def _numbers(self, documents: pa.Table) -> tuple[NDArray[np.float32], dict[int, str]]:
        name, errors = self.float_field, dict[int, str]()
        if name in documents.column_names:
            column = documents.column(name)
            if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
                filled = pc.fill_null(column.cast(pa.float64()), self.default)
                return np.asarray(filled).astype(np.float32), errors
        values = objects_of(documents, name)
        for row, value in enumerate(values):
            if value is None:
                values[row] = self.default
            elif isinstance(value, bool) or not isinstance(value, int | float):
                errors[row] = f"{name}: {value!r} is no number"
                values[row] = self.default
        return np.array(values, np.float64).astype(np.float32), errors


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
    """Give a field another name. (datamap-rs stops at a document without it; here it has none.)

    Args:
        old_field: Its name. Columns below it (``OLD.label``) are renamed with it.
        new_field: The new one. A field of that name is replaced.
    """

    old_field: str
    new_field: str

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        old, new = self.old_field, self.new_field
        names = documents.column_names
        below = [name for name in names if name.startswith(f"{old}.")]
        if old not in names and not below and old.startswith("metadata."):
            return Outcome(self._out_of_metadata(documents))
        values = {new: field(documents, old)}
        for name in below:
            values[new + name[len(old) :]] = documents.column(name)
        empty = pa.chunked_array([pa.nulls(len(documents), pa.large_string())])
        for name in names:
            if name != old and name not in below:
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

    def _out_of_metadata(self, documents: pa.Table) -> pa.Table:
        """The documents with a field that is no column yet, but stands in their JSON, renamed."""
        keys, target = self.old_field.split(".")[1:], self.new_field.split(".")[1:]
        within = self.new_field.startswith("metadata.")
        within = within and self.new_field not in documents.column_names
        values: list[Any] = []
        texts: list[str | None] = []
        for text in documents.column("metadata").to_pylist():
            metadata = json.loads(text) if text else {}
            value = _taken_out(metadata, keys)
            if value is not None and within:
                _put(metadata, target, value)
            values.append(json.dumps(value) if isinstance(value, dict | list) else value)
            changed = value is not None
            texts.append(json.dumps(metadata, ensure_ascii=False) if changed else text)
        column = pa.array(texts, pa.large_string())
        renamed = with_field(documents, "metadata", pa.chunked_array([column]))
        if within:
            return renamed
        found = pa.chunked_array([_column_of(values)])
        return with_field(renamed, self.new_field, found)


def _column_of(values: list[Any]) -> pa.Array:
    """Values of JSON as a column; as texts where they are of several kinds."""
    try:
        array = pa.array(values, from_pandas=True)
    except pa.ArrowException:
        array = pa.array([None if value is None else str(value) for value in values])
    return array.cast(pa.large_string()) if pa.types.is_string(array.type) else array


def _taken_out(value: Any, keys: list[str]) -> Any:
    """Take what stands at a path out of a JSON object; a key may itself have dots in it."""
    for count in range(len(keys), 0, -1):
        key = ".".join(keys[:count])
        if isinstance(value, dict) and key in value:
            return value.pop(key) if count == len(keys) else _taken_out(value[key], keys[count:])
    return None


def _put(value: dict[str, Any], keys: list[str], new: Any) -> None:
    for key in keys[:-1]:
        if not isinstance(value.get(key), dict):
            value[key] = {}
        value = value[key]
    value[keys[-1]] = new


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


@dataclass(frozen=True)
class MaxExtractor:
    """Note which of several scores is the highest, by its name; of equal ones, the last name.

    Args:
        main_attribute: Where the scores stand: ``metadata.topic`` for ``metadata.topic.Sports``, ….
        output_attribute: Where to note it; what stands there stays where there is none.
        lower_bound: A score below this does not count.
        keep_nulls: Keep the documents of which no score counts.
    """

    main_attribute: str
    output_attribute: str
    lower_bound: float = 0.0
    keep_nulls: bool = True

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        names, scores = scores_of(documents, self.main_attribute)
        order = sorted(range(len(names)), key=names.__getitem__, reverse=True)
        counted = np.where(scores >= self.lower_bound, scores, np.nan)[:, order]
        best = _best([names[k] for k in order], counted)
        found = np.asarray(best.is_valid())
        before = field(documents, self.output_attribute)
        if before.null_count < len(before):
            best = pc.coalesce(best, before.cast(pa.large_string()).combine_chunks())
        documents = with_field(documents, self.output_attribute, pa.chunked_array([best]))
        return Outcome(documents, None if self.keep_nulls else found)


def _best(names: list[str], scores: NDArray[np.float64]) -> pa.Array:
    """[documents] the name of the highest score, of equal ones the first; null: all are nan."""
    if not names or not len(scores):
        return pa.nulls(len(scores), pa.large_string())
    places = np.where(np.isnan(scores), -math.inf, scores).argmax(1)
    absent = np.isnan(scores).all(1)
    return pa.array(names, pa.large_string()).take(pa.array(places, mask=absent))


@dataclass(frozen=True)
class DdMaxGetter:
    """Note the name of the highest of the attributes with a prefix; of equal ones, the first name.

    Args:
        prefix: How their names begin.
        output_attribute: Where to note it; the word ``null`` if none is above -1.
        main_attribute: Where they stand; values are numbers, ``[[number]]``, or what Dolma writes,
            ``[[start, end, number], …]`` (of which datamap-rs reads the start).
    """

    prefix: str
    output_attribute: str
    main_attribute: str = "attributes"

    def __call__(self, documents: pa.Table) -> Outcome:
        """See `Operation`."""
        names, scores = scores_of(documents, self.main_attribute)
        order = sorted(range(len(names)), key=names.__getitem__)
        chosen = [k for k in order if names[k].startswith(self.prefix)]
        counted = np.where(scores > -1, scores, np.nan)[:, chosen]
        best = pc.fill_null(_best([names[k] for k in chosen], counted), "null")
        return Outcome(with_field(documents, self.output_attribute, pa.chunked_array([best])))
