"""Percentiles, reservoirs and sums against what numpy says, and the chance of a draw."""

import json

import numpy as np
import pytest

from olmoflow.curate.partition.scores import Count, Percentile, Reservoir, weighted_breaks
from olmoflow.errors import UserError


def rows_of(scores, sizes=None):
    sizes = sizes if sizes is not None else [1] * len(scores)
    return [
        {"id": f"d{n}", "text": "x" * size, "metadata.s": score}
        for n, (score, size) in enumerate(zip(scores, sizes, strict=True))
    ]


def test_percentiles_divide_the_bytes_evenly(corpus):
    rng = np.random.default_rng(0)
    scores, sizes = rng.normal(size=500), rng.integers(1, 50, 500)
    rows = rows_of(scores.tolist(), sizes.tolist())
    rows.append({"id": "none", "text": "xx"})
    step = Percentile("metadata.s", num_buckets=4)
    decisions = corpus.decide(step, corpus.write(rows, [100]))
    assert all(d["keep"] for d in decisions)
    breaks = step.figures["breaks"]
    assert (breaks[0], breaks[-1]) == (scores.min(), scores.max())
    total = sizes.sum()
    for part, cut in enumerate(breaks[1:-1], 1):
        below = sizes[scores < cut].sum()
        assert below < part * total / 4 <= sizes[scores <= cut].sum()
    assert weighted_breaks(np.array([3.0, 1, 2]), np.ones(3), 3) == [1, 1, 2, 3]
    with pytest.raises(UserError, match=r"percentile.score_key=metadata.no: no document has it"):
        corpus.decide(Percentile("metadata.no"), corpus.write(rows))


def test_a_reservoir_draws_with_the_chance_of_the_weight(corpus, tmp_path):
    # Half of the documents weigh 3, the others 1: three in four of a small draw are heavy.
    scores = [float(n % 2) for n in range(2000)]
    rows = rows_of(scores, [3 if s else 1 for s in scores])
    shards = corpus.write(rows, [700])
    heavy = []
    for seed in range(10):
        step = Reservoir("metadata.s", str(tmp_path / "r.json"), 50, weight="bytes", seed=seed)
        corpus.decide(step, shards)
        heavy += [row["value"] for row in json.loads((tmp_path / "r.json").read_text())]
    assert len(heavy) == 500
    # Five standard deviations of a binomial of 500.
    assert abs(np.mean(heavy) - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 500)
    even = Reservoir("metadata.s", reservoir_size=500)
    corpus.decide(even, shards)
    same = Reservoir("metadata.s", reservoir_size=500)
    corpus.decide(same, corpus.write(rows[::-1]))
    assert even.figures == same.figures
    assert even.figures["drawn"] == 500


def test_sums(corpus):
    step = Count(["metadata.s"])
    corpus.decide(step, corpus.write(rows_of([1.0, 2.0, 4.0])))
    assert step.figures == {"metadata.s": 7.0}
