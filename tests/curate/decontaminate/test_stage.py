"""Decontamination over shards of real text with planted questions."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.decontaminate.review import read_report, review
from olmoflow.curate.decontaminate.stage import Decontaminate
from olmoflow.errors import UserError

QUESTIONS = [
    "A baker sells seventeen loaves of rye bread before noon and twice as many rolls until the "
    "shop closes in the evening; how many pieces has he sold by then?",
    "Which of the four inner planets turns so slowly that one of its days takes longer than the "
    "whole year in which it travels around the sun?",
]
ANSWERS = ["He sold 51 pieces altogether", "Venus"]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    path = tmp_path_factory.mktemp("references") / "quiz.jsonl"
    rows = [
        {"eval_key": f"quiz{n}_test", "question": q, "answer": a, "eval_instance_index": n}
        for n, (q, a) in enumerate(zip(QUESTIONS, ANSWERS, strict=True))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Real text in two shards; two documents of the first and one of the second are spoilt."""
    folder = tmp_path_factory.mktemp("shards")
    sources = sorted(Path(os.__file__).parent.glob("*.py"))[:60]
    texts = [path.read_text(errors="replace") for path in sources]
    middle = [len(text) // 2 for text in texts]

    def plant(n, text):
        texts[n] = f"{texts[n][: middle[n]]}\n{text}\n{texts[n][middle[n] :]}"

    plant(3, f"# {QUESTIONS[0]}\n# Answer: {ANSWERS[0]}")
    plant(11, f'"""{QUESTIONS[1].upper()} -- VENUS!"""')
    plant(50, f"{QUESTIONS[1]} {ANSWERS[1]} {QUESTIONS[0]} {ANSWERS[0]}")
    plant(51, f"{ANSWERS[0]} {ANSWERS[1]}")
    plant(52, QUESTIONS[0])  # without its answer
    paths = []
    for number, part in enumerate((slice(0, 30), slice(30, 60))):
        ids = [path.name for path in sources][part]
        table = pa.table({"id": ids, "text": pa.array(texts[part], pa.large_string())})
        paths.append(folder / f"{number:05d}.parquet")
        parquet.write_table(table, paths[-1], row_group_size=7)
    return paths


def dropped(tables):
    return {
        (number, row): reason
        for number, table in enumerate(tables)
        for row, (keep, reason) in enumerate(
            zip(table["keep"].to_pylist(), table["reason"].to_pylist(), strict=True)
        )
        if not keep
    }


def test_contaminated_documents_are_dropped_and_clean_ones_stay(references, shards, tmp_path):
    ticks = []
    stage = Decontaminate([references], report=str(tmp_path / "report"), threads=2)
    tables = list(stage.decide(shards, tmp_path, lambda *now: ticks.append(now)))
    assert [len(table) for table in tables] == [30, 30]
    assert dropped(tables) == {
        (0, 3): "quiz0_test:quiz0_test",
        (0, 11): "quiz1_test:quiz1_test",
        (1, 20): "quiz1_test:quiz1_test",
    }
    assert ticks == [(1, 2), (2, 2)]
    found = {"matches": 2, "documents": 2, "mean_score": 1.0}
    nothing = {"short": 0, "few words": 0, "duplicate": 0, "no question": 0}
    assert stage.figures == {
        "entries": 2,
        "left_out": nothing,
        "sets": {"quiz0_test": found, "quiz1_test": found},
    }
    reported = list(read_report(tmp_path / "report"))
    assert [(m["training_file"], m["training_line"], m["eval_key"]) for m in reported] == [
        ("00000.parquet", 3, "quiz0_test"),
        ("00000.parquet", 11, "quiz1_test"),
        ("00001.parquet", 20, "quiz1_test"),
        ("00001.parquet", 20, "quiz0_test"),
    ]
    first, second = review(reported)
    assert (first.key, first.matches, first.documents, first.questions) == ("quiz0_test", 2, 2, 1)
    assert (second.key, second.perfect, second.scores[10]) == ("quiz1_test", 2, 2)


def test_documents_may_be_reported_and_kept(references, shards, tmp_path):
    stage = Decontaminate([references], report=str(tmp_path / "report"), purify=False)
    assert dropped(stage.decide(shards, tmp_path)) == {}
    assert len(list(read_report(tmp_path / "report"))) == 4


def test_an_empty_shard_is_one(references, tmp_path):
    path = tmp_path / "empty.parquet"
    parquet.write_table(
        pa.table({"id": pa.array([], pa.string()), "text": pa.array([], pa.string())}), path
    )
    (table,) = Decontaminate([references]).decide([path], tmp_path)
    assert len(table) == 0


def test_tokens_may_be_those_of_a_tokenizer(references, shards, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([*QUESTIONS, *ANSWERS], trainer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    stage = Decontaminate([references], tokenizer=str(tmp_path / "tokenizer.json"))
    assert set(dropped(stage.decide(shards, tmp_path))) == {(0, 3), (0, 11), (1, 20)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": "cl100k"}, "tokenizer=cl100k: .*expected words, or the path of a tokenizer"),
        ({"tokenizer": "wrods"}, "tokenizer=wrods: unknown"),
        ({"tokenizer": "/nowhere/tokenizer.json"}, "tokenizer=/nowhere/tokenizer.json"),
        ({"preset": "olmo"}, "preset=olmo: no such preset"),
        ({"references": []}, "references=.*at least one"),
    ],
)
def test_mistakes_show_before_the_work(references, settings, message):
    with pytest.raises(UserError, match=message):
        Decontaminate(**({"references": [references]} | settings))
