"""Shuffled, cut and repeated: no document lost, the same order whatever the shards."""

import pytest

from olmoflow.curate.partition import order, scatter
from olmoflow.curate.partition.order import Repeat, Reshard, Shuffle
from olmoflow.errors import UserError

ROWS = [{"id": f"d{n}", "text": f"text {n}", "source": "s"} for n in range(200)]


def ids(found):
    return [row["id"] for rows in found.values() for row in rows]


@pytest.mark.parametrize("files", [1, 5])
def test_a_shuffle_is_global_and_decided_by_ids_and_seed(corpus, monkeypatch, files):
    monkeypatch.setattr(order, "file_number", lambda total: files)
    one, account = corpus.rearrange(Shuffle(), corpus.write(ROWS, [50, 50, 120]))
    other, _ = corpus.rearrange(Shuffle(), corpus.write(ROWS[::-1], [10]))
    assert ids(one) == ids(other)
    assert sorted(ids(one)) == sorted(r["id"] for r in ROWS)
    assert (account.before.documents, account.after.documents) == (200, 200)
    # From everywhere to everywhere: places before and after hardly agree.
    places = [int(i[1:]) for i in ids(one)]
    mean = sum(places) / 200
    covariance = sum((p - mean) * (k - 99.5) for k, p in enumerate(places)) / 200
    assert abs(covariance / (200**2 / 12)) < 0.25
    seeded, _ = corpus.rearrange(Shuffle(seed=1), corpus.write(ROWS))
    assert ids(seeded) != ids(one)


def test_a_shuffle_gives_shards_of_the_size_that_is_asked_for(corpus):
    rows = [{"id": f"d{n}", "text": "x" * 1000} for n in range(5000)]
    found, _ = corpus.rearrange(Shuffle(max_bytes=1_000_000), corpus.write(rows))
    assert list(found) == [f"0000{n}.parquet" for n in range(5)]
    assert sorted(ids(found)) == sorted(r["id"] for r in rows)


def test_a_corpus_is_cut_anew_in_its_order(corpus):
    found, _ = corpus.rearrange(Reshard(max_lines=60), corpus.write(ROWS, [33]))
    assert [len(rows) for rows in found.values()] == [60, 60, 60, 20]
    assert ids(found) == [r["id"] for r in ROWS]
    half, account = corpus.rearrange(Reshard(subsample=0.5), corpus.write(ROWS))
    assert 70 < len(ids(half)) == account.after.documents < 130
    assert account.reasons == {"not drawn": 200 - len(ids(half))}
    with pytest.raises(UserError, match=r"reshard.max_lines=0"):
        Reshard(max_lines=0)


def test_documents_are_repeated_under_ids_of_their_own(corpus):
    rows = [{**row, "metadata.repetitions": n % 4} for n, row in enumerate(ROWS[:6])]
    rows.append({**ROWS[6], "metadata.repetitions": None})
    found, account = corpus.rearrange(Repeat(), corpus.write(rows))
    assert ids(found) == ["d1", "d2", "d2#2", "d3", "d3#2", "d3#3", "d5", "d6"]
    assert account.reasons == {"repeated 0 times": 2}
    assert (account.before.documents, account.after.documents) == (7, 8)
    assert ids(corpus.rearrange(Repeat(), corpus.write(ROWS))[0]) == [r["id"] for r in ROWS]


def test_files_are_few_for_a_small_corpus_and_bounded_for_a_large_one():
    assert scatter.file_number(0) == 1
    assert scatter.file_number(scatter.FILE_BYTES * 3) == 3
    assert scatter.file_number(1 << 50) == scatter.MAX_FILES
