"""Puzzles as conversations: checkable, and none of them a question of an evaluation."""

import json

import pytest
import zstandard

from olmoflow.curate.verifiable_conversations import Stretch, write_verifiable_conversations
from olmoflow.documents import Intake
from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.puzzles import make_puzzles, question_key
from olmoflow.tokens.chat.conversation import read_conversations
from olmoflow.verifiers import Answer, find_verifier

ASKED = Stretch(42, 150)


def rows_of(folder):
    with zstandard.open(folder / "train" / "00000.jsonl.zst", "rt") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Enough of a kind with few puzzles that chance repeats some."""
    folder = tmp_path_factory.mktemp("puzzles")
    kinds = {"aiw": None, "chain_sum": {"max_terms": 2, "min_digits": 1, "max_digits": 2}}
    found = write_verifiable_conversations(
        folder, kinds, Stretch(10_000_000, 400), held_out=[ASKED], form="plain"
    )
    return found, rows_of(folder), folder


def test_no_question_of_the_evaluation_is_in_the_training_set(written):
    found, rows, _ = written
    task = find_task("reasoning_gym_aiw:chat", size=ASKED.size, seed=ASKED.seed, form="plain")
    asked = {" ".join(i.requests[0].context.split()) for i in task.instances()}
    trained = [" ".join(row["messages"][0]["content"].split()) for row in rows]
    assert not asked & set(trained)
    # Without leaving them out there would be some, and some twice.
    drawn = [question_key(p) for p in make_puzzles("aiw", 400, 10_000_000)]
    assert sum(each in asked for each in drawn) == found.held_out["aiw"] > 0
    assert len(trained) == len(set(trained)) == found.written
    counts = [found.sources, found.held_out, found.repeated]
    assert sum(each.get(kind, 0) for each in counts for kind in ("aiw", "chain_sum")) == 800


def test_rows_are_conversations_whose_answers_the_verifier_takes(written):
    _, rows, folder = written
    assert {r["source"] for r in rows[:4]} == {"aiw", "chain_sum"}
    intake = Intake()
    read = list(read_conversations(folder / "train", intake))
    assert [c.id for c in read] == [r["id"] for r in rows]
    assert not intake.malformed
    verifier = find_verifier(rows[0]["verifier"], extract=["whole"], workers=1)
    try:
        verdicts = verifier.verify(
            [Answer(r["messages"][1]["content"], r["reference"]) for r in rows[:20]]
        )
    finally:
        verifier.close()
    assert all(verdict.score == 1 for verdict in verdicts)


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name in "ab":
        write_verifiable_conversations(tmp_path / name, {"aiw": None}, Stretch(5000, 20))
    a, b = ((tmp_path / n / "train" / "00000.jsonl.zst").read_bytes() for n in "ab")
    assert a == b
    (row, *_) = rows_of(tmp_path / "a")
    assert "between <answer> and </answer>" in row["messages"][0]["content"]
    assert row["messages"][1]["content"] == f"<answer>{row['reference']['answer']}</answer>"


@pytest.mark.parametrize(
    ("kinds", "stretch", "settings", "message"),
    [
        ({}, Stretch(1, 1), {}, "pipeline.puzzles: found none"),
        ({"aiw": None}, Stretch(1, 0), {}, "pipeline.size=0"),
        ({"aiw": None}, Stretch(100, 9), {"held_out": [ASKED]}, "overlap"),
        ({"aiw": None}, Stretch(1, 1), {"form": "rhymed"}, "pipeline.form=rhymed"),
        ({"no_such": None}, Stretch(1, 1), {}, "puzzle no_such"),
        ({"aiw": {"depth": 3}}, Stretch(1, 1), {}, "puzzle aiw"),
    ],
)
def test_mistakes_are_named(tmp_path, kinds, stretch, settings, message):
    with pytest.raises(UserError, match=message) as error:
        write_verifiable_conversations(tmp_path, kinds, stretch, **settings)
    assert "\n" not in str(error.value)
