"""The step: which conversations go, for which set, and what its report says."""

import json

import pytest

from olmoflow.curate.conversations.row import read_rows
from olmoflow.curate.decontaminate.prompts import DecontaminatePrompts
from olmoflow.curate.pipeline.shards import ShardWriter
from olmoflow.curate.sources.table import tables
from olmoflow.documents import Intake
from olmoflow.errors import UserError

QUESTION = "How many eggs do sixteen ducks lay in a week of rain and three of sun?"


@pytest.fixture
def shard(tmp_path):
    def turns(prompt, answer):
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]

    rows = [
        {"id": "asked", "messages": turns(f"Tell me: {QUESTION}", "Many.")},
        {"id": "said", "messages": turns("Ask me something!", QUESTION)},
        {"id": "pair", "chosen": turns(QUESTION, "a"), "rejected": turns(QUESTION, "b")},
        {"id": "text", "text": f"A document: {QUESTION}"},
        {"id": "else", "messages": turns("How do you do?", "Well.")},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    writer = ShardWriter(tmp_path / "00000.parquet")
    for table in tables(read_rows(file, file.name, Intake())):
        writer.write(table)
    writer.close()
    return writer.path


@pytest.fixture
def references(tmp_path):
    path = tmp_path / "ducks.jsonl"
    path.write_text(json.dumps({"question": QUESTION, "answer": "12", "eval_key": "ducks"}) + "\n")
    return str(path)


def decided(step, shard, scratch):
    scratch.mkdir()
    (table,) = step.decide([shard], scratch)
    return table.column("keep").to_pylist(), table.column("reason").to_pylist()


def test_prompts_are_searched_and_answers_only_if_asked(shard, references, tmp_path):
    step = DecontaminatePrompts(references, report=str(tmp_path / "out" / "report.jsonl"))
    keep, reasons = decided(step, shard, tmp_path / "scratch")
    assert keep == [False, True, False, False, True]
    assert reasons == ["ducks", None, "ducks", "ducks", None]
    assert step.figures["sets"] == {"ducks": 3}
    assert step.figures["questions"] == 1
    report = [json.loads(line) for line in (tmp_path / "out" / "report.jsonl").open()]
    assert [row["id"] for row in report] == ["asked", "pair", "text"]
    assert report[0]["overlap"] == 1
    assert (report[0]["question"], report[0]["prompt"]) == (QUESTION, f"Tell me: {QUESTION}")
    keep, _ = decided(DecontaminatePrompts(references, turns="all"), shard, tmp_path / "all")
    assert keep == [False, False, False, False, True]


def test_without_purify_all_stay_and_are_counted(shard, references, tmp_path):
    step = DecontaminatePrompts(references, purify=False)
    keep, _ = decided(step, shard, tmp_path / "scratch")
    assert all(keep)
    assert step.figures["sets"] == {"ducks": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0}, "decontaminate_prompts.threshold=0: expected above 0"),
        ({"ngram_size": 0}, "decontaminate_prompts.ngram_size=0: expected 1 or more"),
        ({"turns": "prompts"}, "decontaminate_prompts.turns='prompts': expected one of"),
        ({"references": []}, r"decontaminate_prompts.references=\[\]: expected at least one"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        DecontaminatePrompts(**settings)
