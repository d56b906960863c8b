"""Conversations and preferences from files, and what becomes of rows that are none."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import zstandard

from olmoflow.documents import Intake
from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import (
    Conversation,
    Message,
    Preference,
    read_conversations,
    read_preferences,
)

ASKED = {"role": "user", "content": "Two and two?"}
CALL = {"role": "assistant", "content": None, "function_calls": "add(2, 2)", "functions": None}
ANSWER = {"role": "environment", "content": "4"}
ROW = {"id": "a", "messages": [ASKED, CALL, ANSWER], "source": "sums"}
READ = (
    Message("user", "Two and two?"),
    Message("assistant", "", function_calls="add(2, 2)"),
    Message("environment", "4"),
)


def write(path, *rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    elif path.name.endswith(".zst"):
        path.write_bytes(zstandard.compress(text.encode()))
    elif path.name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["c.jsonl", "c.jsonl.gz", "c.jsonl.zst", "c.parquet"])
def test_conversations_are_read_from_every_format(name, tmp_path):
    path = write(tmp_path / name, ROW, {"messages": [ASKED], "id": None, "source": None})
    intake = Intake()
    assert list(read_conversations(path, intake)) == [
        Conversation("a", READ, "sums"),
        Conversation(f"{name}:2", READ[:1], "c"),
    ]
    assert (intake.documents, intake.malformed) == (2, [])
    assert intake.file_bytes == path.stat().st_size
    assert [c.id for c in read_conversations(tmp_path, Intake())] == ["a", f"{name}:2"]


TURN = "messages[1]"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "no chat"}, "no messages, expected a list of turns"),
        ({"messages": "hi"}, "messages is str, expected a list of turns"),
        ({"messages": []}, "messages is empty, expected a list of turns"),
        ({"messages": [ASKED, "hi"]}, f"{TURN} is str, expected an object"),
        (
            {"messages": [ASKED, {"role": "tool", "content": "4"}]},
            f"{TURN}: role 'tool', expected one of system, user, assistant, environment",
        ),
        ({"messages": [ASKED, {"content": "4"}]}, f"{TURN}: role None, expected one of"),
        ({"messages": [ASKED, {"role": ["user"]}]}, f"{TURN}: role ['user'], expected one of"),
        (
            {"messages": [ASKED, {"role": "assistant", "content": ""}]},
            f"{TURN}: the assistant's turn is empty",
        ),
        (
            {"messages": [ASKED, {"role": "assistant", "content": " \n", "function_calls": ""}]},
            f"{TURN}: the assistant's turn is empty",
        ),
        ({"messages": [ASKED, {"role": "user"}]}, f"{TURN}: no content, expected a string"),
        ({"messages": [ASKED, ASKED | {"content": 4}]}, f"{TURN}.content is int, expected a"),
        ({"messages": [ASKED, ASKED | {"functions": []}]}, f"{TURN}.functions is list, expected"),
        ({"messages": [ASKED, ASKED | {"content": "\ud800"}]}, f"{TURN}.content is not valid UTF"),
        ({"messages": [ASKED, ASKED | {"content": "a\0"}]}, f"{TURN}.content has a NUL character"),
    ],
)
def test_a_malformed_row_is_counted_with_its_place_and_reason(row, reason, tmp_path):
    path, intake = write(tmp_path / "c.jsonl", ROW, row, ROW), Intake(max_error_rate=0.5)
    assert len(list(read_conversations(path, intake))) == 2
    (found,) = intake.malformed
    assert (found.file, found.line) == (str(path), 2)
    assert found.reason.startswith(reason)
    with pytest.raises(UserError, match=r"c\.jsonl:2: .*; 1 of 3 documents are malformed"):
        list(read_conversations(path, Intake()))


def test_invalid_utf8_in_one_row_of_parquet_spoils_no_other(tmp_path):
    table = pa.Table.from_pylist([ROW, ROW])
    path = tmp_path / "c.parquet"
    parquet.write_table(
        table, path, compression="none", use_dictionary=False, write_statistics=False
    )
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"Two and two?", b"Two and tw\xff?", 1))
    intake = Intake(max_error_rate=0.6)
    assert len(list(read_conversations(path, intake))) == 1
    assert intake.malformed[0].reason == "messages[0].content is not valid UTF-8"


def test_a_table_without_the_column_is_a_mistake(tmp_path):
    path = write(tmp_path / "c.parquet", {"text": "a"})
    with pytest.raises(UserError, match="no column messages; expected one, found text"):
        list(read_conversations(path, Intake()))
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(UserError, match="expected files that end in"):
        list(read_conversations(tmp_path / "readme.txt", Intake()))


SAID, OTHER = {"role": "assistant", "content": "4"}, {"role": "assistant", "content": "5"}


def test_preferences_share_all_but_the_last_turn(tmp_path):
    row = {"id": "p", "chosen": [ASKED, SAID], "rejected": [ASKED, OTHER], "source": "sums"}
    for name in ("p.jsonl", "p.parquet"):
        path = write(tmp_path / name, row)
        assert list(read_preferences(path, Intake())) == [
            Preference(
                "p",
                (READ[0], Message("assistant", "4")),
                (READ[0], Message("assistant", "5")),
                "sums",
            )
        ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": [ASKED, SAID]}, "no rejected, expected a list of turns"),
        ({"chosen": [ASKED, SAID], "rejected": [SAID]}, "chosen and rejected differ before their"),
        (
            {"chosen": [ASKED, SAID], "rejected": [ASKED | {"content": "?"}, OTHER]},
            "chosen and rejected differ before their last turn",
        ),
        ({"chosen": [ASKED, SAID], "rejected": [ASKED, SAID]}, "chosen and rejected are the same"),
        (
            {"chosen": [ASKED], "rejected": [ASKED]},
            "chosen ends with a turn of the user, expected the assistant's",
        ),
        (
            {"chosen": [ASKED, SAID], "rejected": [ASKED, SAID | {"content": ""}]},
            "rejected[1]: the assistant's turn is empty",
        ),
    ],
)
def test_a_malformed_preference_is_counted(row, reason, tmp_path):
    good = {"chosen": [ASKED, SAID], "rejected": [ASKED, OTHER]}
    path, intake = write(tmp_path / "p.jsonl", good, row), Intake(max_error_rate=0.5)
    assert len(list(read_preferences(path, intake))) == 1
    assert intake.malformed[0].reason.startswith(reason)
