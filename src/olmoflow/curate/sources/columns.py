"""The documents of a unit as Arrow tables; the texts of Parquet stay in their column.

A text that goes through Python is decoded, searched and encoded again, one thread at a time. Where
a file has a column of texts, and they are sound, only the rest of a row is read as a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.conversations.row import documents_of_rows, read_rows
from olmoflow.curate.schema import TURNS, with_field
from olmoflow.curate.sources.location import local_copy
from olmoflow.curate.sources.reading import Reading, SourceUnit, read_unit
from olmoflow.curate.sources.table import BATCH_BYTES, BATCH_DOCUMENTS, table_of, tables
from olmoflow.curate.strings import strings_of
from olmoflow.documents import Intake, document_of_row, parquet_batches, rows_of_batch


def unit_tables(
    unit: SourceUnit, reading: Reading, intake: Intake, scratch: Path
) -> Iterator[pa.Table]:
    """The documents of a unit as tables; the intake counts them and what is malformed."""
    columnar = unit.kind == "documents" and all(f.name.endswith(".parquet") for f in unit.files)
    if not columnar:
        yield from tables(read_unit(unit, reading, intake, scratch), reading.source)
        return
    for file in unit.files:
        with local_copy(file, scratch) as path:
            if _has_texts(path):
                yield from _joined(parquet_tables(path, file.name, intake, reading.source))
            else:
                yield from tables(read_rows(path, file.name, intake), reading.source)


def parquet_tables(
    file: Path, name: str, intake: Intake, source: str | None = None
) -> Iterator[pa.Table]:
    """The documents of a Parquet file with a column of texts, as `tables` of `read_rows` has them.

    Args:
        file: Its path.
        name: What it is called in ids and sources.
        intake: Counts the documents and keeps what is malformed.
        source: What ``source`` says instead of what the file says.
    """
    first = 1
    for batch in parquet_batches(file, intake, "text"):
        texts = _sound(batch.column("text"), intake.max_document_bytes)
        read = batch if texts is None else batch.drop_columns(["text"])
        rows = enumerate(rows_of_batch(read), first)
        if texts is None:
            yield from tables(documents_of_rows(rows, file, name, intake), source)
        elif len(texts):
            intake.documents += len(texts)
            documents = [document_of_row(row, "", name, number) for number, row in rows]
            yield with_field(table_of(documents, source), "text", texts)
        first += len(batch)


def _has_texts(file: Path) -> bool:
    """Whether there is a column of texts, and none of turns."""
    try:
        schema = parquet.read_schema(file)
    except (pa.ArrowException, OSError):
        return False  # the reader says what is wrong with it
    if "text" not in schema.names or set(TURNS) & set(schema.names):
        return False
    kind = schema.field("text").type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _sound(column: pa.Array, limit: int | None) -> pa.LargeStringArray | None:
    """The texts, unless `documents.fault` finds something in one of them."""
    texts = column.cast(pa.large_string())
    if texts.null_count:
        return None
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:  # no UTF-8
        return None
    data, offsets = strings_of(texts)
    sizes = np.diff(offsets)
    if len(sizes) and (not sizes.min() or (limit is not None and sizes.max() > limit)):
        return None
    own = data[offsets[0] : offsets[-1]]
    return None if len(own) and not own.min() else texts


def _joined(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables of the size that `tables` makes."""
    held: list[pa.Table] = []
    size = rows = 0
    for part in parts:
        held.append(part)
        size, rows = size + part.column("text").nbytes, rows + len(part)
        if size >= BATCH_BYTES or rows >= BATCH_DOCUMENTS:
            yield pa.concat_tables(held).combine_chunks()
            held, size, rows = [], 0, 0
    if held:
        yield pa.concat_tables(held).combine_chunks()
