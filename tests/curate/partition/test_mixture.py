"""So much of each source: caps hold, sizes are nested, copies and rows add up."""

from collections import Counter
from itertools import pairwise

import pytest

from olmoflow.curate.partition.mixture import MixSources
from olmoflow.errors import UserError

COUNTS = {"wildchat": 600, "math": 300, "code": 90, "safety": 10}
ROWS = [
    {"id": f"{source}{n}", "text": f"{source} {n}", "source": source}
    for source, count in COUNTS.items()
    for n in range(count)
]


@pytest.fixture
def mixed(corpus):
    """The ids that a mixture writes, how many of each source, and the step."""

    def mix(rows=ROWS, cuts=(400,), **settings):
        step = MixSources(**settings)
        found, account = corpus.rearrange(step, corpus.write(rows, list(cuts)))
        written = [row for part in found.values() for row in part]
        assert account.before.documents == len(rows)
        assert account.after.documents == len(written)
        counts = Counter(row["source"] for row in written)
        assert {k: v["written"] for k, v in step.figures.items() if v["written"]} == dict(counts)
        return [row["id"] for row in written], counts, account

    return mix


def test_without_limits_all_stay_in_their_order(mixed):
    ids, counts, account = mixed()
    assert ids == [row["id"] for row in ROWS]
    assert counts == COUNTS
    assert not account.reasons


def test_a_source_is_cut_to_its_share_of_what_is_written(mixed):
    _, counts, account = mixed(max_shares={"wildchat": 0.35})
    # 400 others are 65 %.
    assert counts == {**COUNTS, "wildchat": 215}
    assert counts["wildchat"] / counts.total() <= 0.35
    assert account.reasons == {"beyond its source's share of the size": 385}
    _, counts, _ = mixed(max_shares={"wildchat": 0.5, "math": 0.3})
    # 100 others are 20 %: both caps hold, the second only because the first does.
    assert counts == {"wildchat": 250, "math": 150, "code": 90, "safety": 10}


def test_sizes_are_nested_and_have_the_same_shares(mixed):
    settings = {"max_shares": {"wildchat": 0.35}, "repeat": {"safety": 3.5}}
    runs = [mixed(size=size, **settings) for size in (40, 41, 200, 500, 633)]
    for (smaller, counts, _), (larger, _, _) in pairwise(runs):
        assert set(smaller) < set(larger)
        assert len(set(smaller)) == len(smaller) == counts.total()
    assert [counts.total() for _, counts, _ in runs] == [40, 41, 200, 500, 633]
    for _, counts, _ in runs:
        for source, rows in {"wildchat": 228, "math": 300, "code": 90, "safety": 35}.items():
            assert abs(counts[source] - rows / 653 * counts.total()) <= 2
        assert counts["wildchat"] <= 0.35 * counts.total() + 1
    with pytest.raises(UserError, match=r"mix_sources.size=654: expected at most 653"):
        mixed(size=654, **settings)


def test_what_stays_does_not_depend_on_shards_or_order_but_on_the_seed(mixed):
    one, _, _ = mixed(size=100)
    other, _, _ = mixed(ROWS[::-1], cuts=(10, 500, 501), size=100)
    assert sorted(one) == sorted(other)
    seeded, _, _ = mixed(size=100, seed=1)
    assert 1 < len(set(one) & set(seeded)) < 50


def test_rows_are_repeated_whole_and_in_part(mixed):
    ids, counts, account = mixed(repeat={"code": 2.5, "math": 0}, max_rows={"wildchat": 50})
    assert counts == {"wildchat": 50, "code": 225, "safety": 10}
    assert len(set(ids)) == len(ids)
    copies = Counter(i.partition("#")[0] for i in ids if i.startswith("code"))
    assert Counter(copies.values()) == {2: 45, 3: 45}
    assert account.reasons == {"beyond its source's rows": 300 + 550}
    _, counts, _ = mixed(max_rows_each=20, max_rows={"wildchat": 100})
    assert counts == {"wildchat": 100, "math": 20, "code": 20, "safety": 10}


def test_all_sources_may_have_caps(mixed):
    caps = {"wildchat": 0.5, "math": 0.3, "code": 0.15, "safety": 0.1}
    _, counts, _ = mixed(max_shares=caps)
    # Together they allow 105 %, so the sources with the least of what they may set the size.
    assert all(counts[s] <= cap * counts.total() + 1 for s, cap in caps.items())
    assert counts["safety"] == 10
    assert counts.total() > 190
    with pytest.raises(UserError, match=r"mix_sources.max_shares: the shares of .* sum to 0.9"):
        mixed(max_shares=dict.fromkeys(COUNTS, 0.225))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_shares": {"chat": 0.3}}, r"max_shares.chat: no such source; found code, math, saf"),
        ({"repeat": {"chat": 2}}, "repeat.chat: no such source"),
        ({"max_shares": {"math": 1.5}}, r"max_shares.math=1.5: expected above 0, at most 1"),
        ({"max_rows": {"math": 0}}, "max_rows.math=0: expected at least 1"),
        ({"size": 0}, "size=0: expected at least 1"),
        ({"repeat": {"math": -1}}, "repeat.math=-1: expected 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(mixed, settings, message):
    with pytest.raises(UserError, match=f"mix_sources.{message}"):
        mixed(**settings)
