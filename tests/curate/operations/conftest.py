"""Tables of documents, and operations applied to them by name."""

import json

import numpy as np
import pyarrow as pa
import pytest

from olmoflow.curate.pipeline.plan import build_step
from olmoflow.curate.schema import DOCUMENTS


def make_documents(texts, metadata=None, **columns):
    """A table of documents; ``columns`` come on top or instead."""
    values = {name: [""] * len(texts) for name in DOCUMENTS.names}
    values |= {"id": [f"d{i}" for i in range(len(texts))], "text": texts}
    values["metadata"] = [json.dumps(m) for m in metadata or [{}] * len(texts)]
    table = pa.table(values, schema=DOCUMENTS)
    for name, column in columns.items():
        name = name.replace("__dot__", ".")
        array = column if isinstance(column, pa.Array) else pa.array(column)
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, array)
    return table


@pytest.fixture
def documents():
    return make_documents


@pytest.fixture
def outcome():
    """What an operation makes of texts (or of a table): its outcome."""

    def apply(name, texts, **settings):
        table = texts if isinstance(texts, pa.Table) else make_documents(texts)
        result = build_step(name, settings)(table)
        assert result.documents.num_rows == table.num_rows
        assert result.keep is None or result.keep.dtype == np.bool_
        return result

    return apply


@pytest.fixture
def kept(outcome):
    """Which texts a filter keeps, as a list of truth values."""
    return lambda name, texts, **settings: outcome(name, texts, **settings).keep.tolist()


@pytest.fixture
def changed(outcome):
    """The texts that a modifier makes."""

    def apply(name, texts, **settings):
        return outcome(name, texts, **settings).documents.column("text").to_pylist()

    return apply


@pytest.fixture(scope="session")
def left():
    """The texts that an operation leaves; None: it drops the document."""

    def apply(name, texts, **settings):
        outcome = build_step(name, settings)(make_documents(texts))
        found = outcome.documents.column("text").to_pylist()
        keep = [True] * len(texts) if outcome.keep is None else outcome.keep.tolist()
        return [text if stays else None for text, stays in zip(found, keep, strict=True)]

    return apply
