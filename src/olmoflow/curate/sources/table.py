"""Documents to Arrow tables with the columns of `schema.DOCUMENTS`, a bounded amount at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from olmoflow.curate.conversations.row import TurnsDocument
from olmoflow.curate.schema import DOCUMENTS, TURNS
from olmoflow.documents import Document

# A batch is what the operations work on at once: in cache for most, and cheap to hold many times.
BATCH_BYTES = 8 << 20
BATCH_DOCUMENTS = 4096


def tables(
    documents: Iterable[Document], source: str | None = None, batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.Table]:
    """Documents as tables of about so many bytes of text; at least one document each.

    Args:
        documents: As a reader yields them.
        source: What ``source`` says instead of what the reader found.
        batch_bytes: UTF-8 characters of text after which a table ends.
    """
    held: list[Document] = []
    size = 0
    for document in documents:
        held.append(document)
        size += len(document.text)
        if size >= batch_bytes or len(held) >= BATCH_DOCUMENTS:
            yield table_of(held, source)
            held, size = [], 0
    if held:
        yield table_of(held, source)


def table_of(documents: Sequence[Document], source: str | None = None) -> pa.Table:
    """Documents as one table."""
    columns = {
        "id": [d.id for d in documents],
        "text": [d.text for d in documents],
        "source": [source or d.source for d in documents],
        "url": [d.url or _said(d, _URLS) for d in documents],
        # Readers that know no path put the address there; it has a column of its own here.
        "path": ["" if d.path == d.url else d.path for d in documents],
        "created": [d.created or _said(d, _DATES) for d in documents],
        "license": [d.license for d in documents],
        "metadata": [_json(d) for d in documents],
    }
    table = pa.Table.from_pydict(columns, DOCUMENTS)
    turns = [d.turns if isinstance(d, TurnsDocument) else {} for d in documents]
    for name in TURNS:
        if any(name in each for each in turns):
            column = pa.array([each.get(name) for each in turns], pa.large_string())
            table = table.append_column(name, column)
    return table


# Where the archives of the web's crawls put a page's address and date.
_URLS = ("WARC-Target-URI", "warc_url")
_DATES = ("WARC-Date", "WARC-DATE", "warc_date")


def _said(document: Document, keys: tuple[str, ...]) -> str:
    """The first string that the metadata has under one of these keys."""
    found = (document.metadata.get(key) for key in keys)
    return next((f for f in found if f and isinstance(f, str)), "")


def _json(document: Document) -> str:
    if not document.metadata:
        return "{}"
    text = json.dumps(document.metadata, ensure_ascii=False, default=str)
    return text.encode(errors="replace").decode()
