"""Fields as what documents are divided and grouped by: strings, numbers, hashes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.schema import field
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError


def strings_of_field(documents: pa.Table, name: str) -> list[str | None]:
    """[rows], the field as text; None where a document has none."""
    values = field(documents, name)
    if pa.types.is_null(values.type):
        return [None] * len(documents)
    found = values.to_pylist()
    return [None if v is None or v == "" else str(v) for v in found]


def numbers_of(documents: pa.Table, name: str, key: str) -> NDArray[np.float64]:
    """[rows], the field as a number; NaN where a document has none.

    Raises:
        UserError: It holds something else; ``key`` is the setting that names the field.
    """
    values = field(documents, name)
    kind = values.type
    if pa.types.is_null(kind):
        return np.full(len(documents), np.nan)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise UserError(f"{key}={name}: holds {kind}, expected numbers")
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def group_hashes(
    documents: pa.Table, keys: Sequence[str]
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """[rows], a hash of the fields together, and whether a document has them all.

    One that lacks a field gets the hash of its id.
    """
    columns = [strings_of_field(documents, key) for key in keys]
    rows = list(zip(*columns, strict=True))
    grouped = np.array([all(v is not None for v in row) for row in rows], np.bool_)
    ids = documents.column("id").to_pylist()
    texts = [
        "\0".join(map(str, row)) if together else f"\0{id}"
        for row, together, id in zip(rows, grouped.tolist(), ids, strict=True)
    ]
    return hashes_of(strings_of(pa.array(texts, pa.large_string()))), grouped
