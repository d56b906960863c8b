"""What a document is while it is curated: a row of an Arrow table.

`DOCUMENTS` are the columns that every table has. An annotation is a further column, named by where
it will stand in the written document: ``metadata.minhash.cc_id``. So a step adds or reads a field
without parsing anybody's JSON; only where a name is no column is it looked up in ``metadata``, the
JSON object with whatever else the source said of the document.

A conversation is a document as well: its ``text`` is what its turns say, one after the other, and a
column of `TURNS` holds the turns themselves.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

DOCUMENTS = pa.schema(
    [
        ("id", pa.large_string()),
        ("text", pa.large_string()),
        ("source", pa.large_string()),
        ("url", pa.large_string()),
        ("path", pa.large_string()),
        ("created", pa.large_string()),  # ISO 8601, or empty
        ("license", pa.large_string()),
        ("metadata", pa.large_string()),  # a JSON object
    ]
)

# Columns of a conversation (the first) or of a preference (the others): JSON lists of turns.
TURNS = ("messages", "chosen", "rejected")


def field(documents: pa.Table, name: str) -> pa.ChunkedArray:
    """The values of a field, by its dotted name; null where a document has none.

    Args:
        documents: A table with the columns of `DOCUMENTS`, perhaps more.
        name: A column (``url``, ``metadata.fasttext.__label__en``), or a path into the JSON object
            of the column ``metadata`` (``metadata.warc.date``).
    """
    if name in documents.column_names:
        return documents.column(name)
    keys = name.split(".")
    if keys[0] != "metadata":
        return pa.chunked_array([pa.nulls(len(documents))])
    found = [_inside(text, keys[1:]) for text in documents.column("metadata").to_pylist()]
    try:
        return pa.chunked_array([pa.array(found, from_pandas=True)])
    except pa.ArrowException:  # a number in one document, a text in another
        texts = [None if value is None else str(value) for value in found]
        return pa.chunked_array([pa.array(texts, pa.large_string())])


def with_field(documents: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The table with a column set or replaced."""
    if name in documents.column_names:
        return documents.set_column(documents.column_names.index(name), name, values)
    return documents.append_column(name, values)


def _inside(text: str | None, keys: list[str]) -> Any:
    """What a JSON object holds at a path; a key may itself have dots in it."""
    value: Any = json.loads(text) if text else None
    while keys and isinstance(value, dict):
        for count in range(len(keys), 0, -1):
            if (key := ".".join(keys[:count])) in value:
                value, keys = value[key], keys[count:]
                break
        else:
            return None
    return None if keys or isinstance(value, dict | list) else value
