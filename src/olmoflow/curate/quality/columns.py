"""The few columns of Parquet shards that a stage looks at, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.curate.quality.classifier import LABEL
from olmoflow.curate.schema import field
from olmoflow.errors import UserError

_ROWS = 65_536


def read_fields(shard: Path, names: Sequence[str]) -> Iterator[pa.Table]:
    """Batches of a shard with the columns that hold these fields, and no others."""
    with parquet.ParquetFile(shard) as file:
        there = file.schema_arrow.names
        columns = {column for name in names for column in _columns(name, there)}
        for batch in file.iter_batches(_ROWS, columns=sorted(columns) or ["id"]):
            yield pa.table(batch)


def _columns(name: str, there: Sequence[str]) -> list[str]:
    """The column of a field, those below it, or the JSON object that it may be in."""
    if name in there:
        return [name]
    below = [column for column in there if column.startswith(f"{name}.")]
    outer = name.partition(".")[0]
    return below or ([outer] if outer in there else [])


def weights_of(documents: pa.Table, name: str | None) -> NDArray[np.int64]:
    """[rows], the tokens of each document by a field, or without one the UTF-8 bytes of its text.

    Raises:
        UserError: A document has none, or it is no whole number of at least 0.
    """
    if name is None:
        sizes = compute.binary_length(documents.column("text").cast(pa.large_string()))
        return np.asarray(compute.fill_null(sizes, 0).to_numpy(), np.int64)
    values = field(documents, name)
    if values.null_count or not pa.types.is_integer(values.type):
        raise UserError(f"weight={name}: expected a whole number of tokens in every document")
    weights = np.asarray(values.to_numpy(), np.int64)
    if len(weights) and weights.min() < 0:
        raise UserError(f"weight={name}: {weights.min()} tokens; expected at least 0")
    return weights


def scores_of(documents: pa.Table, name: str) -> NDArray[np.float32]:
    """[rows], the score of each document; NaN where it has none.

    Raises:
        UserError: The field holds no numbers.
    """
    values = field(documents, name)
    if pa.types.is_null(values.type):
        return np.full(len(documents), np.nan, np.float32)
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise UserError(f"score={name}: holds {values.type}; expected numbers")
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float32)


def topics_of(documents: pa.Table, name: str | None) -> pa.DictionaryArray:
    """[rows], the topic of each document; all are one topic where no field is named.

    A field that a classifier wrote, a column of probabilities for each label, stands for the most
    probable label.

    Raises:
        UserError: The field holds no strings.
    """
    if name is None:
        only = pa.array(np.zeros(len(documents), np.int32))
        return pa.DictionaryArray.from_arrays(only, pa.array(["all"]))
    labels = [column for column in documents.column_names if column.startswith(f"{name}.")]
    if labels and name not in documents.column_names:
        return _most_probable(documents.select(labels), len(name) + 1)
    values = field(documents, name)
    if pa.types.is_null(values.type):
        values = values.cast(pa.string())
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise UserError(f"topic={name}: holds {values.type}; expected strings")
    return values.combine_chunks().dictionary_encode()


def _most_probable(labels: pa.Table, skip: int) -> pa.DictionaryArray:
    """[rows], the name of the column that has the largest number, without its beginning."""
    values = [c.cast(pa.float64()).to_numpy(zero_copy_only=False) for c in labels.columns]
    chances = np.nan_to_num(np.stack(values, axis=1), nan=-np.inf)
    names = [column[skip:].removeprefix(LABEL) for column in labels.column_names]
    best = chances.argmax(axis=1).astype(np.int32)
    indices = pa.array(best, mask=np.isinf(chances.max(axis=1)))
    return pa.DictionaryArray.from_arrays(indices, pa.array(names))
