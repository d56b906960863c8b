"""Partitions and groups: each document in the folder that its field says."""

import json

import pytest

from olmoflow.curate.partition.group_filter import GroupFilter
from olmoflow.curate.partition.parts import DiscretePartition, Group, RangePartition
from olmoflow.errors import UserError


def folders(found):
    by_folder = {}
    for name, rows in found.items():
        by_folder.setdefault(name.split("/")[0], []).extend(r["id"] for r in rows)
    return by_folder


def test_a_folder_for_each_value(corpus):
    rows = [
        {"id": "a", "text": "a", "metadata.topic": "Art & Design"},
        {"id": "b", "text": "b", "metadata": '{"topic": "Sports"}'},
        {"id": "c", "text": "c", "metadata.topic": "Sports"},
        {"id": "d", "text": "d"},
    ]
    shards = corpus.write(rows[:1], []) + corpus.write(rows[1:2]) + corpus.write(rows[2:])
    found, account = corpus.rearrange(DiscretePartition("metadata.topic"), shards)
    assert folders(found) == {
        "Art_Design": ["a"], "Sports": ["b", "c"], "no_category": ["d"]
    }  # fmt: skip
    assert account.after.documents == 4
    chosen = DiscretePartition("metadata.topic", choices=["Sports"])
    assert folders(corpus.rearrange(chosen, shards)[0]) == {
        "Sports": ["b", "c"], "no_category": ["a", "d"]
    }  # fmt: skip


def test_ranges_hold_their_lower_end(corpus, tmp_path):
    rows = [{"id": str(v), "text": "x", "metadata.v": v} for v in (-1.0, 0.5, 1.0, 1.5, 2.0)]
    rows.append({"id": "none", "text": "x"})
    shards = corpus.write(rows)
    cut = RangePartition("metadata.v", range_groups=[1, 2], default_value=1.7)
    assert folders(corpus.rearrange(cut, shards)[0]) == {
        "bucket_0000": ["-1.0", "0.5"], "bucket_0001": ["1.0", "1.5", "none"],
        "bucket_0002": ["2.0"],
    }  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps([{"percentile": 0, "value": v} for v in (1, 2)]))
    halves = RangePartition("metadata.v", reservoir_path=str(tmp_path / "r.json"), num_buckets=2)
    assert halves.cuts.tolist() == [2]
    with pytest.raises(UserError, match="either range_groups or reservoir_path"):
        RangePartition("v")
    with pytest.raises(UserError, match="expected rising numbers"):
        RangePartition("v", range_groups=[2, 1])
    with pytest.raises(UserError, match="holds large_string, expected numbers"):
        corpus.rearrange(RangePartition("id", range_groups=[1]), shards)


def test_a_group_is_in_one_folder(corpus):
    rows = [{"id": f"d{n}", "text": "x", "metadata.g": n % 10} for n in range(100)]
    found = folders(corpus.rearrange(Group(["metadata.g"], 4), corpus.write(rows, [30]))[0])
    homes = {}
    for folder, members in found.items():
        for id in members:
            homes.setdefault(int(id[1:]) % 10, set()).add(folder)
    assert all(len(folders) == 1 for folders in homes.values())
    assert sum(map(len, found.values())) == 100


@pytest.mark.parametrize("cuts", [[], [3], [1, 5, 5]])
def test_one_of_a_group_stays(corpus, cuts):
    rows = [
        {"id": "a1", "text": "x", "metadata.cc": 1, "metadata.date": "2020"},
        {"id": "b1", "text": "x", "metadata.cc": 2, "created": "2021"},
        {"id": "a2", "text": "x", "metadata.cc": 1, "metadata.date": "2022"},
        {"id": "c1", "text": "x"},
        {"id": "a3", "text": "x", "metadata.cc": 1, "created": "2021"},
        {"id": "b2", "text": "x", "metadata.cc": 2, "metadata.date": "2019"},
        {"id": "c2", "text": "x"},
    ]
    sort = [["metadata.date", "created"]]

    def kept(index):
        step = GroupFilter(["metadata.cc"], sort, index)
        decisions = corpus.decide(step, corpus.write(rows, cuts))
        assert all((d["reason"] is None) == d["keep"] for d in decisions)
        return {r["id"] for r, d in zip(rows, decisions, strict=True) if d["keep"]}

    assert kept(-1) == {"a2", "b1", "c1", "c2"}
    assert kept(0) == {"a1", "b2", "c1", "c2"}
    assert kept(2) == {"a2", "c1", "c2"}
