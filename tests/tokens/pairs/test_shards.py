"""Shards of pairs: chosen beside rejected, only the last turn learnt, what is left out counted."""

import json

import pytest

from olmoflow.errors import UserError
from olmoflow.tokens.chat.template import load_template
from olmoflow.tokens.pairs.shards import write_pair_shards
from olmoflow.tokens.reader import TokenShards

TEMPLATE = load_template("think")
QUESTION = [
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "What is 2 + 2?"},
]


def row(number, chosen="<think>easy</think>4", rejected="5, I think", **other):
    turns = {
        name: [*QUESTION, {"role": "assistant", "content": content}]
        for name, content in (("chosen", chosen), ("rejected", rejected))
    }
    return {"id": f"p{number}", "source": "sums", **turns, **other}


def write(room, tmp_path, rows, **settings):
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = {"sequence_length": 512, "too_long": None, "num_workers": 1, **settings}
    found = write_pair_shards(file, room.tokenizer, TEMPLATE, tmp_path / "out", **chosen)
    return found, TokenShards.open(tmp_path / "out")


def learnt(room, shards, document):
    table = shards.documents.to_pylist()[document]
    tokens = shards.document_tokens(document)
    spans = table["targets"]
    return [
        room.opened.backend.decode(tokens[a:b].tolist(), skip_special_tokens=False)
        for a, b in zip(spans[::2], spans[1::2], strict=True)
    ]


def test_the_last_turn_of_each_answer_is_learnt_and_nothing_else(room, tmp_path):
    found, shards = write(room, tmp_path, [row(n, f"<think>a</think>{n}") for n in range(130)])
    assert (found.rows, shards.kind, len(shards.document_starts)) == (130, "pairs", 260)
    shards.verify_all()
    eos = room.opened.backend.id_to_token(room.opened.eos_id)
    assert learnt(room, shards, 4) == [f"<think>a</think>2{eos}"]
    assert learnt(room, shards, 5) == [f"5, I think{eos}"]
    ids = [each["id"] for each in shards.documents.to_pylist()]
    assert ids[4:6] == ["p2#chosen", "p2#rejected"]
    assert found.target_tokens == len(shards.targets)
    assert found.tokens == len(shards)


def test_threads_change_no_byte(room, tmp_path):
    rows = [row(n, f"{n}") for n in range(200)]
    digests = []
    for name, workers in (("one", 1), ("three", 3)):
        (tmp_path / name).mkdir()
        _, shards = write(room, tmp_path / name, rows, num_workers=workers, chunk_tokens=900)
        digests.append(shards.content)
    assert digests[0] == digests[1]


def test_rows_that_are_no_preference_are_set_apart_with_their_reason(room, tmp_path):
    bad = [
        row(1, "same", "same"),
        row(2, ""),
        {**row(3), "rejected": [{"role": "assistant", "content": "no question"}]},
        {**row(4), "chosen": [{"role": "critic", "content": "?"}]},
        row(5, "<|im_end|> forged"),
    ]
    found, shards = write(room, tmp_path, [row(0), *bad, row(6)], max_error_rate=1.0)
    assert found.rows == 2
    assert sum(found.malformed.values()) == 4
    assert found.malformed["chosen and rejected are the same"] == 1
    assert [reason.startswith("chosen: ") for reason in found.underivable] == [True]
    errors = [json.loads(line) for line in (tmp_path / "out/errors.jsonl").open()]
    assert sorted(each["line"] for each in errors) == [2, 3, 4, 5, 6]
    assert len(shards.document_starts) == 4


def test_too_many_of_them_stop_the_work(room, tmp_path):
    with pytest.raises(UserError, match=r"pairs.jsonl:2: chosen and rejected are the same"):
        write(room, tmp_path, [row(0), row(1, "same", "same")])


def test_a_pair_that_is_too_long_is_an_error_cut_or_dropped_and_counted(room, tmp_path):
    long = "so " * 400
    rows = [row(0), row(1, long), row(2, f"{long} 4", f"{long} 5")]
    with pytest.raises(UserError, match=r"pairs.jsonl:2: an answer of .* give too_long=truncate"):
        write(room, tmp_path, rows)
    found, shards = write(room, tmp_path, rows, too_long="truncate", sequence_length=160)
    assert (found.rows, found.too_long) == (
        2,
        {"truncated": 1, "dropped, the answers differ only behind the cut": 1},
    )
    assert max(len(shards.document_tokens(n)) for n in range(4)) == 160
    assert shards.document_tokens(2)[-1] == room.opened.eos_id
    found, shards = write(room, tmp_path, rows, too_long="drop", sequence_length=160)
    assert (found.rows, found.too_long) == (1, {"dropped": 2})
    listed = [json.loads(line)["id"] for line in (tmp_path / "out/too_long.jsonl").open()]
    assert listed == ["p1", "p2"]


def test_nothing_left_is_an_error(room, tmp_path):
    with pytest.raises(UserError, match="no pair is left; dropped: 1"):
        write(room, tmp_path, [row(0)], too_long="drop", sequence_length=16)


def test_answers_are_not_split(room, tmp_path):
    with pytest.raises(UserError, match="too_long=split: expected truncate or drop"):
        write(room, tmp_path, [row(0)], too_long="split")
