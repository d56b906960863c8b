"""Exact deduplication: across and within groups, which copy stays, in bounded memory."""

import json

import pytest

from olmoflow.curate.dedup import ExactDedup
from olmoflow.errors import UserError

TEXTS = ["a", "b", "a", "a ", "b", "", "c", "", "a"]


def kept(decided):
    return [row for row, keep in enumerate(decided.column("keep").to_pylist()) if keep]


def test_first_copy_stays_whatever_the_shards(corpus):
    assert kept(corpus.decide(ExactDedup(), TEXTS)) == [0, 1, 3, 5, 6]
    stage = ExactDedup(memory=300)
    decided = corpus.decide(stage, TEXTS, cuts=(2, 2, 7), row_group=2)
    assert kept(decided) == [0, 1, 3, 5, 6]
    assert stage.figures["cluster_sizes"] == {2: 2, 3: 1}
    assert stage.figures["duplicates"] == 4


def test_within_leaves_copies_in_other_groups(corpus):
    dumps = [json.dumps({"dump": dump}) for dump in "112212221"]
    stage = ExactDedup(within="metadata.dump")
    assert kept(corpus.decide(stage, TEXTS, metadata=dumps)) == [0, 1, 2, 3, 5, 6]
    # An annotation is a column of that name; it counts before what stands in the metadata.
    annotated = {"metadata.dump": list("111111111")}
    assert kept(corpus.decide(stage, TEXTS, metadata=dumps, **annotated)) == [0, 1, 3, 5, 6]


def test_other_field_and_documents_without_it(corpus):
    urls = ["u", None, "v", "u", None, "v", "w", None, "u"]
    decided = corpus.decide(ExactDedup(field="url"), TEXTS, url=urls)
    assert kept(decided) == [0, 1, 2, 4, 6, 7]


def test_newest_stays_in_any_notation_of_time(corpus):
    created = ["2024-05-01", "", "2024-05-01T00:00:01Z", "no date", "2024-05-01T00:30:00+01:00"]
    decided = corpus.decide(ExactDedup(keep="newest"), ["x"] * 5, created=created)
    assert kept(decided) == [2]


def test_longest_and_best_stay(corpus):
    urls = ["u"] * 4
    stage = ExactDedup(field="url", keep="longest")
    assert kept(corpus.decide(stage, ["aa", "äää", "bbbb", ""], url=urls)) == [1]
    scores = [json.dumps({"q": score}) for score in (0.5, 0.9, None, float("nan"))]
    stage = ExactDedup(field="url", keep="best", score="metadata.q")
    assert kept(corpus.decide(stage, list("abcd"), url=urls, metadata=scores)) == [1]


def test_annotates_clusters_without_removing(corpus):
    stage = ExactDedup(annotate="metadata.exact", remove=False)
    decided = corpus.decide(stage, TEXTS)
    assert all(decided.column("keep").to_pylist())
    assert decided.column("metadata.exact.cc_id").to_pylist() == [0, 1, 0, None, 1, 5, None, 5, 0]
    sizes = [3, 2, 3, None, 2, 2, None, 2, 3]
    assert decided.column("metadata.exact.cc_size").to_pylist() == sizes
    assert decided.column("metadata.exact.cc_idx").to_pylist() == [0, 0, 1, None, 1, 0, None, 1, 2]


def test_mistaken_settings_are_named(corpus):
    with pytest.raises(UserError, match="txet: no such field; expected one of id, text, source"):
        corpus.decide(ExactDedup(field="txet"), TEXTS)
    with pytest.raises(UserError, match="keep: found 'oldest', expected one of first, newest"):
        ExactDedup(keep="oldest")
    with pytest.raises(UserError, match="score: found None, expected the field"):
        ExactDedup(keep="best")
    with pytest.raises(UserError, match="expected none with"):
        ExactDedup(score="metadata.q")
