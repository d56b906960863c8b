"""The order of samples: proportions, epochs, caps, fingerprints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.errors import UserError
from olmoflow.tokens.interleave import Interleave
from olmoflow.tokens.mixture import BLOCK, Mixture, Sizes, Source


def mixture(windows, proportions=None, *, caps=None, seed=0, **kwargs):
    proportions = proportions or [None] * len(windows)
    caps = caps or [1000.0] * len(windows)
    sources = [
        Source(f"s{i}", p, c) for i, (p, c) in enumerate(zip(proportions, caps, strict=True))
    ]
    return Mixture(sources, [Sizes(w) for w in windows], seed=seed, **kwargs)


@settings(max_examples=50)
@given(
    weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40),
    length=st.integers(1, 5000),
)
def test_every_prefix_is_near_the_proportions(weights, length):
    interleave = Interleave(np.array(weights))
    which, before = interleave.assign(np.arange(length))
    counts = np.zeros((length, len(weights)))
    counts[np.arange(length), which] = 1
    running = counts.cumsum(0)
    target = np.outer(np.arange(1, length + 1), np.array(weights) / sum(weights))
    assert np.abs(running - target).max() <= interleave.depth + 1e-3
    # `before` counts each source's samples from 0 without a gap.
    assert (before == running[np.arange(length), which] - 1).all()


@settings(max_examples=30)
@given(windows=st.lists(st.integers(1, 900), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_natural_proportions_see_every_window_once(windows, seed):
    total = sum(windows)
    which, where = mixture(windows, seed=seed).locate(0, total)
    for source, size in enumerate(windows):
        assert sorted(where[which == source].tolist()) == list(range(size))


@settings(max_examples=20)
@given(size=st.integers(1, 700), epochs=st.integers(2, 4))
def test_each_epoch_is_another_permutation(size, epochs):
    _, where = mixture([size]).locate(0, size * epochs)
    rounds = where.reshape(epochs, size)
    assert (np.sort(rounds, axis=1) == np.arange(size)).all()
    if size > 20:
        assert len({tuple(r) for r in rounds.tolist()}) == epochs


def test_an_epoch_of_groups_of_chunks_is_a_permutation_that_stays_in_its_group():
    starts = (0, 40, 90, 100)
    order = Mixture([Source("a", shuffle_chunks=1)], [Sizes(130, starts)], seed=4, planned=None)
    _, where = order.locate(0, 260)
    for epoch in where.reshape(2, 130):
        assert sorted(epoch.tolist()) == list(range(130))
        group = np.searchsorted(starts, epoch, side="right")
        assert (np.diff(group) != 0).sum() == 3  # each group is left exactly once


def test_locating_is_independent_of_how_it_is_cut():
    order = mixture([5000, 300, 77_000], [0.5, 0.2, 0.3], seed=7)
    whole = order.locate(100, 3 * BLOCK)
    parts = [order.locate(i, 37) for i in range(100, 100 + 3 * BLOCK, 37)]
    for axis in (0, 1):
        joined = np.concatenate([p[axis] for p in parts])[: 3 * BLOCK]
        assert (joined == whole[axis]).all()


def test_a_billion_windows_are_located_without_a_table():
    order = mixture([10**9, 10**12], [0.3, 0.7])
    which, where = order.locate(10**10, 1000)
    assert (where[which == 0] < 10**9).all()
    assert 250 <= (which == 0).sum() <= 350


def test_a_cap_names_the_source_and_what_it_would_need():
    with pytest.raises(UserError, match=r"s1 would be repeated 5\.00 times, max_repetition=4"):
        mixture([10_000, 100], [0.5, 0.5], caps=[1, 4], planned=1000)
    mixture([10_000, 100], [0.5, 0.5], caps=[1, 5], planned=1000)


def test_redistribution_gives_the_excess_to_the_others():
    order = mixture(
        [10_000, 100, 10_000], [0.4, 0.4, 0.2], caps=[4, 1, 4], planned=1000, on_cap="redistribute"
    )
    assert order.proportions == pytest.approx([0.6 * 0.899 / 0.9 * 1, 0.101, 0.2997], abs=2e-3)
    which, _ = order.locate(0, 1000)
    assert (which == 1).sum() <= 103


def test_redistribution_that_cannot_hold_all_is_an_error():
    with pytest.raises(UserError, match="max_repetition"):
        mixture([100, 100], [0.5, 0.5], caps=[1, 1], planned=1000, on_cap="redistribute")


def test_proportions_are_all_or_none():
    with pytest.raises(UserError, match="s1 has proportion=None"):
        mixture([10, 10], [0.5, None])
    with pytest.raises(UserError, match="s0 has proportion=-1"):
        mixture([10, 10], [-1, 1])


def test_the_fingerprint_tells_orders_apart():
    base = mixture([100, 200], [0.5, 0.5])
    assert base.fingerprint() == mixture([100, 200], [5, 5]).fingerprint()
    for other in (
        mixture([100, 200], [0.5, 0.5], seed=1),
        mixture([100, 201], [0.5, 0.5]),
        mixture([100, 200], [0.4, 0.6]),
    ):
        assert other.fingerprint() != base.fingerprint()
