"""What operations read from the documents, and how they put it back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from olmoflow.curate.schema import field, with_field
from olmoflow.curate.strings import Strings, array_of

Mask = NDArray[np.bool_]


def text_of(documents: pa.Table, name: str) -> pa.ChunkedArray:
    """A field as texts; null where a document has none."""
    column = field(documents, name)
    return column if column.type == pa.large_string() else column.cast(pa.large_string())


def with_texts(documents: pa.Table, name: str, texts: Strings) -> pa.Table:
    """The documents with a field of texts set."""
    return with_field(documents, name, pa.chunked_array([array_of(texts)]))


def with_some_texts(
    documents: pa.Table, name: str, column: pa.ChunkedArray, rows: Mask, texts: Strings
) -> pa.Table:
    """The documents with the texts of some rows replaced, in their order."""
    if rows.all():
        return with_texts(documents, name, texts)
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    # A list of places: `replace_with_mask` is slow on strings.
    places = np.arange(len(array))
    places[rows] = len(array) + np.arange(texts.number)
    both = pa.concat_arrays([array, array_of(texts)])
    return with_field(documents, name, pa.chunked_array([both.take(pa.array(places))]))


def numbers_of(documents: pa.Table, name: str, default: float) -> NDArray[np.float64]:
    """A field as numbers; ``default`` where a document has none, or no number."""
    if name in documents.column_names:
        column = documents.column(name)
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            return np.asarray(pc.fill_null(column.cast(pa.float64()), default), np.float64)
    return np.array([_number(value, default) for value in objects_of(documents, name)], np.float64)


def _number(value: Any, default: float) -> float:
    try:
        return default if value is None else float(value)
    except (ValueError, TypeError):
        return default


def objects_of(documents: pa.Table, name: str) -> list[Any]:
    """A field as JSON values, lists and objects among them; None where a document has none.

    It is a column (one of texts holds JSON), or a path into ``metadata``, where what the source
    called ``attributes`` stands as well.
    """
    if name in documents.column_names:
        values = documents.column(name).to_pylist()
        return [json.loads(v) if isinstance(v, str) and v[:1] in ("[", "{") else v for v in values]
    keys = name.removeprefix("metadata.").split(".")
    if "metadata" not in documents.column_names:
        return [None] * len(documents)
    return [_at(text, keys) for text in documents.column("metadata").to_pylist()]


def _at(text: str | None, keys: Iterable[str]) -> Any:
    value: Any = json.loads(text) if text else None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def scores_of(documents: pa.Table, name: str) -> tuple[list[str], NDArray[np.float64]]:
    """The numbers below a field: ``metadata.topic.Sports``, ``metadata.topic.Games``, …

    Returns:
        Their names without the field's, and [documents, names] the numbers; nan: there is none.
    """
    columns = [c for c in documents.column_names if c.startswith(f"{name}.")]
    if columns:
        scores = [numbers_of(documents, column, np.nan) for column in columns]
        return [c[len(name) + 1 :] for c in columns], np.stack(scores, 1)
    values = objects_of(documents, name)
    found = [value if isinstance(value, dict) else {} for value in values]
    names = sorted({key for value in found for key in value})
    table = [[_score(value.get(key)) for key in names] for value in found]
    return names, np.array(table, np.float64).reshape(len(found), len(names))


def _score(value: Any) -> float:
    """A number, or the highest of Dolma's spans ``[[start, end, number], …]``."""
    if isinstance(value, list):
        spans = [s[-1] for s in value if isinstance(s, list) and s]
        return max((float(s) for s in spans if isinstance(s, int | float)), default=np.nan)
    return float(value) if isinstance(value, int | float) else np.nan
