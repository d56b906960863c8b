"""Rows of turns as tables of documents, and filters applied to them by name."""

import json

import pytest

from olmoflow.curate.conversations.row import read_rows
from olmoflow.curate.pipeline.plan import build_step
from olmoflow.curate.sources.table import tables
from olmoflow.documents import Intake


def turns(*contents, roles=("user", "assistant")):
    """Turns of the user and the assistant, or of other roles, one after the other."""
    return [
        {"role": roles[place % len(roles)], "content": content}
        for place, content in enumerate(contents)
    ]


@pytest.fixture(name="turns")
def make_turns():
    return turns


@pytest.fixture
def documents(tmp_path):
    """A table of rows, read from a file of them."""

    def read(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        intake = Intake(max_error_rate=0)
        (table,) = tables(read_rows(path, path.name, intake))
        return table

    return read


@pytest.fixture
def judged(documents):
    """Why a filter drops each of some rows, None where it stays; lists are messages."""

    def judge(name, *rows, **settings):
        given = [{"messages": row} if isinstance(row, list) else row for row in rows]
        outcome = build_step(name, settings)(documents(*given))
        assert outcome.errors == {}
        reasons = outcome.reasons.to_pylist()
        assert outcome.keep.tolist() == [reason is None for reason in reasons]
        return reasons

    return judge
