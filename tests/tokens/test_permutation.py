"""Permutations that are computed, not stored."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.tokens.permutation import derive_seeds, permute


@settings(max_examples=60)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1))
def test_every_index_comes_exactly_once(size, seed):
    assert sorted(permute(np.arange(size), size, seed).tolist()) == list(range(size))


@settings(max_examples=30)
@given(size=st.integers(1, 10**12), seed=st.integers(0, 2**64 - 1), data=st.data())
def test_a_part_equals_the_same_part_of_the_whole(size, seed, data):
    index = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    whole = permute(index, size, seed)
    assert ((whole >= 0) & (whole < size)).all()
    assert [int(permute(index[i : i + 1], size, seed)[0]) for i in range(len(index))] == list(whole)


def test_a_billion_samples_need_no_table():
    index = np.arange(10**9 - 4096, 10**9)
    assert len(np.unique(permute(index, 10**9, 1))) == 4096


def test_small_sizes_are_uniform():
    # Each of 7 places is taken by each of 7 numbers about equally often over many seeds.
    seeds = derive_seeds(3, np.arange(7000))
    counts = np.array(
        [np.bincount(permute(np.full(7000, place), 7, seeds), minlength=7) for place in range(7)]
    )
    # 42 degrees of freedom: mean 42, standard deviation 9.
    assert ((counts - 1000) ** 2 / 1000).sum() < 42 + 5 * 9.2


def test_neighbours_are_scattered():
    sent = permute(np.arange(100_000), 100_000, 5).astype(float)
    assert abs(np.corrcoef(sent[:-1], sent[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(np.arange(100_000), sent)[0, 1]) < 0.02


def test_seeds_choose_different_permutations():
    index = np.arange(1000)
    assert (permute(index, 1000, 1) == permute(index, 1000, 2)).mean() < 0.01
