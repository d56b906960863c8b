"""Buckets within topics equal plain sorting; repetitions are what the curve says, by id."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.quality.cuts import sortable, unsortable
from olmoflow.curate.quality.repetition import Upsample, repetitions
from olmoflow.curate.quality.vigintiles import Vigintiles
from olmoflow.curate.schema import DOCUMENTS
from olmoflow.errors import UserError


def documents(number, seed=0, **columns):
    generator = np.random.default_rng(seed)
    columns = {
        "id": [f"{seed}-{n}" for n in range(number)],
        "text": ["x" * int(n) for n in generator.integers(1, 400, number)],
        **columns,
    }
    for name in DOCUMENTS.names:
        columns.setdefault(name, [""] * number)
    texts = {n: pa.array(columns.pop(n), pa.large_string()) for n in DOCUMENTS.names}
    return pa.table({**texts, **columns})


def scored(number, seed):
    generator = np.random.default_rng(seed)
    scores = generator.normal(0, 1, number).astype(np.float32)
    return documents(
        number,
        seed,
        **{
            "metadata.quality": pa.array(scores, mask=generator.random(number) < 0.02),
            "metadata.topic": generator.choice(["art", "law", "war"], number, p=[0.6, 0.3, 0.1]),
        },
    )


@pytest.fixture
def shards(tmp_path):
    for number, rows in enumerate([700, 0, 900]):
        parquet.write_table(
            scored(rows, number), tmp_path / f"{number}.parquet", row_group_size=300
        )
    return sorted(tmp_path.glob("*.parquet"))


def decide(stage, shards, tmp_path):
    tables = list(stage.decide(shards, tmp_path))
    assert [len(t) for t in tables] == [parquet.read_metadata(s).num_rows for s in shards]
    whole = pa.concat_tables([parquet.read_table(s) for s in shards])
    decided = pa.concat_tables(tables)
    for name in decided.column_names:
        whole = whole.append_column(name, decided.column(name))
    return whole


def plain_buckets(rows, buckets=20):
    """Sort, add up tokens, cut where a share is reached; equal scores are never parted."""
    total, reached, found, before = sum(w for _, w in rows), 0, {}, 0
    for score in sorted({s for s, _ in rows}):
        found[score] = min(buckets, int(before * buckets // total) + 1)
        reached += sum(w for s, w in rows if s == score)
        before = reached
    return found


def test_buckets_are_those_of_plain_sorting_within_each_topic(shards, tmp_path):
    rows = decide(Vigintiles(), shards, tmp_path).to_pylist()
    for topic in ("art", "law", "war"):
        mine = [
            r for r in rows if r["metadata.topic"] == topic and r["metadata.quality"] is not None
        ]
        expected = plain_buckets([(r["metadata.quality"], len(r["text"])) for r in mine])
        assert [r["metadata.vigintile"] for r in mine] == [
            expected[r["metadata.quality"]] for r in mine
        ]
        assert {r["metadata.vigintile"] for r in mine} == set(range(1, 21))
    unscored = [r for r in rows if r["metadata.quality"] is None]
    assert unscored
    assert all(r["metadata.vigintile"] is None and r["keep"] for r in unscored)


def test_ties_stay_together_and_scores_may_lie_in_the_json(tmp_path):
    scores = [0.5] * 90 + [0.9] * 10
    rows = documents(100, metadata=[json.dumps({"quality": s, "tokens": 10}) for s in scores])
    parquet.write_table(rows, tmp_path / "0.parquet")
    stage = Vigintiles(topic=None, weight="metadata.tokens", buckets=4)
    rows = decide(stage, [tmp_path / "0.parquet"], tmp_path)
    assert rows.column("metadata.vigintile").to_pylist() == [1] * 90 + [4] * 10


def test_a_classifiers_columns_stand_for_their_most_probable_label(tmp_path):
    scores = [3.0, 1.0, 2.0, 5.0]
    columns = {
        "metadata.topics.__label__art": [0.9, 0.2, None, None],
        "metadata.topics.__label__law": [0.1, 0.8, 0.7, None],
    }
    rows = documents(4, text=["x"] * 4, **{"metadata.quality": scores}, **columns)
    parquet.write_table(rows, tmp_path / "0.parquet")
    rows = decide(
        Vigintiles(topic="metadata.topics", buckets=2), [tmp_path / "0.parquet"], tmp_path
    )
    assert rows.column("metadata.vigintile").to_pylist() == [1, 1, 2, None]


def test_floats_and_their_keys_sort_alike():
    floats = np.array([-np.inf, -3e38, -1.0, -1e-45, -0.0, 0.0, 1e-45, 0.1, 7, np.inf], np.float32)
    keys = sortable(floats)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    assert keys[4] == keys[5]
    np.testing.assert_array_equal(unsortable(keys), floats)


def test_upsampling_brings_every_topic_to_its_target(shards, tmp_path):
    bucketed = decide(Vigintiles(), shards, tmp_path).drop_columns(["keep", "reason"])
    file = tmp_path / "bucketed.parquet"
    parquet.write_table(bucketed, file)
    sizes = {"art": 0, "law": 0, "war": 0}
    for row in bucketed.to_pylist():
        if row["metadata.vigintile"]:
            sizes[row["metadata.topic"]] += len(row["text"])
    stage = Upsample(ratio=1.5, targets={"law": 0.5 * sizes["law"]})
    rows = decide(stage, [file], tmp_path)
    table = rows.to_pylist()
    for topic, ratio in (("art", 1.5), ("law", 0.5), ("war", 1.5)):
        own = [r for r in table if r["keep"] and r["metadata.topic"] == topic]
        written = sum(len(r["text"]) * r["metadata.repetitions"] for r in own)
        assert written == pytest.approx(ratio * sizes[topic], rel=0.05)
    assert all(not r["keep"] for r in table if (r["metadata.vigintile"] or 0) <= 8)
    assert max(r["metadata.repetitions"] for r in table) <= 8
    reasons = {r["reason"] for r in table if r["metadata.vigintile"] is None}
    assert reasons == {"no topic or bucket of quality"}
    assert all(r["reason"] is None for r in table if r["keep"])
    again = decide(stage, [file], tmp_path)
    assert again.equals(rows)


def test_fractions_are_kept_by_the_id_alone():
    ids = pa.array([f"doc-{n}" for n in range(20_000)])
    times = repetitions(ids, np.full(20_000, 2.3))
    assert set(times) == {2, 3}
    assert times.mean() == pytest.approx(2.3, abs=0.02)
    np.testing.assert_array_equal(repetitions(ids[5:9], np.full(4, 2.3)), times[5:9])
    other = repetitions(ids, np.full(20_000, 2.3), seed=1)
    assert np.corrcoef(times, other)[0, 1] == pytest.approx(0, abs=0.03)


def test_mistakes_are_named(shards, tmp_path):
    with pytest.raises(UserError, match=r"score=metadata\.qual: no document has it"):
        list(Vigintiles(score="metadata.qual").decide(shards, tmp_path))
    with pytest.raises(UserError, match="score=text: holds large_string; expected numbers"):
        list(Vigintiles(score="text").decide(shards, tmp_path))
    with pytest.raises(UserError, match="weight=url: expected a whole number of tokens"):
        list(Vigintiles(weight="url").decide(shards, tmp_path))
    counts = {"art": np.full(20, 5)}
    with pytest.raises(UserError, match=r"topic art of 100: ratio=9: .* allow at most 4\.1"):
        Upsample(targets={"art": 900}).factors(counts)
    with pytest.raises(UserError, match=r"targets\.war: no document has this topic"):
        Upsample(targets={"war": 900}).factors(counts)
