"""Conversations go through a pipeline as documents, and come out as the rows that they were."""

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.conversations.row import read_rows
from olmoflow.curate.pipeline.engine import Pipeline, run_pipeline
from olmoflow.curate.pipeline.plan import steps_of
from olmoflow.documents import Intake
from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import read_conversations, read_preferences

CALL = {"role": "assistant", "content": "", "function_calls": "add(a=1, b=2)"}
CONVERSATION = [
    {"role": "system", "content": "You add.", "functions": '[{"name": "add"}]'},
    {"role": "user", "content": "1 + 2?"},
    CALL,
    {"role": "environment", "content": "3"},
    {"role": "assistant", "content": "It is 3 — “three”."},
]


def pairs(turns):
    return turns("Why?", "Because it is."), turns("Why?", "No idea.")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def curate(source, corpus, *steps, **settings):
    pipeline = Pipeline(
        tuple(steps_of(steps)), (str(source),), heldout_fraction=0, max_error_rate=0.5, **settings
    )
    return run_pipeline(pipeline, corpus, workers=1)


def test_a_text_is_what_the_turns_say_and_what_a_preference_shares_is_said_once(documents, turns):
    chosen, rejected = pairs(turns)
    table = documents(
        {"messages": CONVERSATION},
        {"chosen": chosen, "rejected": rejected},
        {"text": "A plain document."},
    )
    assert table.column("text").to_pylist() == [
        'You add.\n\n[{"name": "add"}]\n\n1 + 2?\n\nadd(a=1, b=2)\n\n3\n\nIt is 3 — “three”.',
        "Why?\n\nBecause it is.\n\nNo idea.",
        "A plain document.",
    ]
    assert [bool(m) for m in table.column("messages").to_pylist()] == [True, False, False]
    assert json.loads(table.column("messages")[0].as_py()) == CONVERSATION
    assert json.loads(table.column("rejected")[1].as_py()) == rejected


def test_rows_come_out_of_a_corpus_as_they_went_in(tmp_path, turns):
    chosen, rejected = pairs(turns)
    rows = [
        {"id": "c", "messages": CONVERSATION, "source": "tools", "dataset": {"split": 1}},
        {"id": "p", "chosen": chosen, "rejected": rejected, "source": "pairs"},
    ]
    source = write(tmp_path / "rows.jsonl", rows)
    curate(source, tmp_path / "corpus")
    again = curate(tmp_path / "corpus" / "train", tmp_path / "again")
    assert again.documents == {"train": 2}
    (one,) = (tmp_path / "corpus").glob("train/*.zst")
    (other,) = (tmp_path / "again").glob("train/*.zst")
    assert one.read_bytes() == other.read_bytes()
    found = {row.id: row for row in read_conversations(tmp_path / "again", Intake(0.5))}
    assert [m.as_dict() for m in found["c"].messages] == CONVERSATION
    assert found["c"].source == "tools"
    (pair,) = read_preferences(tmp_path / "again", Intake(0.5))
    assert [m.as_dict() for m in pair.chosen] == chosen
    assert [m.as_dict() for m in pair.rejected] == rejected


def test_parquet_says_the_same_as_json_lines_where_every_turn_has_every_key(tmp_path):
    keys = ("role", "content", "functions", "function_calls")
    full = [{key: turn.get(key) for key in keys} for turn in CONVERSATION]
    parquet.write_table(pa.table({"id": ["c"], "messages": [full]}), tmp_path / "a.parquet")
    (document,) = read_rows(tmp_path / "a.parquet", "a.parquet", Intake())
    assert json.loads(document.turns["messages"]) == CONVERSATION


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": "hello"}, "messages is str, expected a list of turns"),
        ({"messages": []}, "messages is empty, expected a list of turns"),
        ({"messages": ["hello"]}, "messages[0] is str, expected an object"),
        ({"messages": [{"content": "x"}]}, "messages[0].role is NoneType, expected a string"),
        (
            {"messages": [{"role": "user", "content": ["x"]}]},
            "messages[0].content is list, expected a string",
        ),
        ({"messages": [{"role": "user", "content": ""}]}, "the text is empty"),
        ({"messages": [{"role": "user", "content": "a\0b"}]}, "the text has a NUL character"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "the text is not valid UTF-8"),
        ({"chosen": [{"role": "user", "content": "x"}]}, "no text, expected a string"),
    ],
)
def test_what_has_no_turns_is_set_apart_with_its_reason(tmp_path, row, reason):
    path = write(tmp_path / "rows.jsonl", [row])
    intake = Intake(max_error_rate=1)
    assert list(read_rows(path, path.name, intake)) == []
    assert [(m.line, m.reason) for m in intake.malformed] == [(1, reason)]


def test_what_reads_texts_works_on_conversations_and_each_reason_is_counted(tmp_path, turns):
    rows = [
        {"messages": turns("What is a fine day?", "One with sun, wind and some rain.")},
        {"messages": turns("What is a fine day?", "One with sun, wind and some rain.")},
        {"messages": turns("Hi", "Hello")},
        {"messages": turns("What is an open thought?", "<think>One that has no")},
        {"messages": turns("What is a silent assistant?", "")},
        {"text": "A document that is no conversation at all."},
    ]
    source = write(tmp_path / "rows.jsonl", rows)
    result = curate(
        source,
        tmp_path / "corpus",
        {"name": "page_len_filter", "length_type": "word", "lower_bound": 5},
        "exact_dedup",
        "conversation_format_filter",
    )
    _, length, exact, form = result.accounts
    assert length.reasons == {"page_len_filter": 1}
    assert exact.reasons == {"exact duplicate": 1}
    assert form.reasons == {"<think> is not closed": 1, "empty turn of the assistant": 1}
    assert (form.before.documents, form.after.documents, form.errors) == (4, 1, 1)
    (errors,) = (tmp_path / "corpus" / "errors").glob("*.jsonl")
    assert "this is no conversation" in errors.read_text()


@pytest.mark.parametrize(
    "step",
    [
        {"name": "newline_removal_modifier", "max_consecutive": 1},
        {"name": "substring_dedup", "length": 20},
    ],
)
def test_a_step_that_rewrites_texts_is_refused(tmp_path, turns, step):
    said = "The very same answer, word for word, as any other question gets it."
    rows = [{"messages": turns(f"Question {n}", said)} for n in range(3)]
    source = write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(UserError, match=rf"{step['name']}: changes the text of conversations"):
        curate(source, tmp_path / "corpus", step)
