"""MinHash-LSH: its curve on pairs of known similarity, verification, keep rules, invariance."""

import itertools
import math

import numpy as np
import pytest

from olmoflow.curate.dedup import MinHashDedup
from olmoflow.curate.dedup.signatures import collision_probability
from olmoflow.errors import UserError

# 90 n-grams of 5 words; with the last r words replaced, 90 - r of 90 + r are common.
NGRAMS, N = 90, 5


def pairs(number, replaced, seed=0):
    """Pairs of documents whose Jaccard similarity is (90 - replaced) / (90 + replaced) exactly."""
    random = np.random.default_rng(seed)
    texts = []
    for pair in range(number):
        words = [f"w{pair}x{i}" for i in random.permutation(NGRAMS + N - 1)]
        other = words[:-replaced] + [f"v{pair}x{i}" for i in range(replaced)]
        texts += [" ".join(words), " ".join(other)]
    return texts


def ngrams(text, n=N):
    words = text.split()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(left, right, n=N):
    left, right = ngrams(left, n), ngrams(right, n)
    return len(left & right) / len(left | right)


def dropped(decided):
    return [row for row, keep in enumerate(decided.column("keep").to_pylist()) if not keep]


def test_pairs_have_the_similarity_that_they_should():
    assert jaccard(*pairs(1, 10)) == 0.8


@pytest.mark.parametrize(("bands", "rows"), [(26, 11), (14, 8)])
@pytest.mark.parametrize("replaced", [22, 10, 6])
def test_recall_is_that_of_the_curve(corpus, bands, rows, replaced):
    number = 1500
    texts = pairs(number, replaced)
    stage = MinHashDedup(bands=bands, rows=rows, verify=False)
    found = dropped(corpus.decide(stage, texts))
    assert all(row % 2 for row in found), "the second of a pair goes, and nothing else"
    expected = collision_probability((90 - replaced) / (90 + replaced), bands, rows)
    error = math.sqrt(expected * (1 - expected) / number)
    assert abs(len(found) / number - expected) <= 3.5 * error + 1e-9


def test_published_points_of_the_curve():
    assert collision_probability(0.8, 26, 11) == pytest.approx(0.90, abs=0.005)
    assert collision_probability(0.6, 26, 11) == pytest.approx(0.09, abs=0.005)


def test_verification_leaves_precision_one_and_the_recall(corpus):
    """At 0.8 exactly everything that the curve finds stays found; below, nothing."""
    texts = pairs(400, 10) + pairs(400, 11, seed=1) + pairs(400, 12, seed=2)
    found = {}
    for verify in (False, True):
        stage = MinHashDedup(verify=verify, threshold=0.8, verify_ngram=N)
        found[verify] = dropped(corpus.decide(stage, texts))
    similar = [row for row in found[False] if jaccard(texts[row - 1], texts[row]) >= 0.8]
    assert found[True] == similar
    assert 340 <= len(similar) < len(found[False])


def mutants(seed, families=40, copies=6):
    """Families of documents that lie around the threshold of each other."""
    random = np.random.default_rng(seed)
    texts = []
    for family in range(families):
        words = [f"w{family}x{i}" for i in range(60)]
        for copy in range(copies):
            own = list(words)
            for place in random.integers(0, 60, random.integers(0, 4)):
                own[place] = f"v{copy}x{place}"
            texts.append(" ".join(own))
    return [texts[i] for i in random.permutation(len(texts))]


def reference(texts, threshold, n):
    """Components of all pairs that are similar enough."""
    parents = list(range(len(texts)))

    def find(i):
        return i if parents[i] == i else find(parents[i])

    for i, j in itertools.combinations(range(len(texts)), 2):
        if jaccard(texts[i], texts[j], n) >= threshold:
            a, b = sorted((find(i), find(j)))
            parents[b] = a
    return [find(i) for i in range(len(texts))]


@pytest.mark.parametrize("large", [500, 3])
def test_clusters_are_the_components_of_similar_pairs(corpus, large):
    """With bands of one row every pair is a candidate; then nothing but the truth remains."""
    texts = mutants(3)
    stage = MinHashDedup(
        bands=20, rows=1, threshold=0.7, large=large, large_bands=300, large_rows=2, keep="first"
    )
    decided = corpus.decide(stage, texts)
    roots = reference(texts, 0.7, 3)
    alone = {root for root in roots if roots.count(root) == 1}
    expected = [None if root in alone else root for root in roots]
    assert decided.column("metadata.minhash.cc_id").to_pylist() == expected
    assert dropped(decided) == [row for row, root in enumerate(roots) if row != root]
    sizes = [roots.count(root) for root in set(roots) - alone]
    assert stage.figures["cluster_sizes"] == {size: sizes.count(size) for size in set(sizes)}


def test_decisions_do_not_depend_on_shards_batches_or_memory(corpus):
    texts = mutants(5)
    tables = [
        corpus.decide(MinHashDedup(threshold=0.7, memory=memory), texts, cuts, group)
        for cuts, group, memory in [
            ((), 1000, 1 << 30),
            ((0, 1, 100, 100, 171), 1000, 1 << 30),
            ((50,), 7, 1 << 13),
            ((50,), 300, 1 << 16),
        ]
    ]
    assert len(dropped(tables[0])) > 50
    assert all(table.equals(tables[0]) for table in tables)
    other = corpus.decide(MinHashDedup(threshold=0.7, bands=4, seed=1), texts)
    assert not other.equals(corpus.decide(MinHashDedup(threshold=0.7, bands=4, seed=2), texts))


def test_cleaning_makes_them_equal_but_texts_without_words_stay(corpus):
    texts = ["A rose, is a ROSE.", "...", "a  rose\nis a rose", "", "...", "a rose is a rose"]
    assert dropped(corpus.decide(MinHashDedup(keep="first"), texts)) == [2, 5]


def test_keep_rules(corpus):
    texts = pairs(1, 2)
    texts = [texts[0], texts[1] + " !!!!", texts[0]]
    created = ["2020-01-01", "2019-01-01", "2021-01-01"]

    def stays(**settings):
        decided = corpus.decide(
            MinHashDedup(**settings), texts, created=created, license=["1", "3", "2"]
        )
        index = decided.column("metadata.minhash.cc_idx").to_pylist()
        assert sorted(index) == [0, 1, 2]
        assert dropped(decided) == [row for row in range(3) if index[row]]
        return index.index(0)

    assert stays(keep="first") == 0
    assert stays(keep="newest") == 2
    assert stays(keep="longest") == 1
    assert stays(keep="best", score="license") == 1
    assert stays(keep="newest", verify=False) == 2


def test_empty_corpus(corpus):
    assert len(corpus.decide(MinHashDedup(), [], cuts=(0, 0))) == 0


def test_mistaken_settings_are_named():
    with pytest.raises(UserError, match="rows: found 0, expected at least 1"):
        MinHashDedup(rows=0)
    with pytest.raises(UserError, match=r"threshold: found 80, expected above 0, at most 1"):
        MinHashDedup(threshold=80)
