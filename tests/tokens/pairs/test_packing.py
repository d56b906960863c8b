"""A step's pairs in micro-batches: each once, within bounds, as many for each rank."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olmoflow.tokens.pairs.packing import PairOrder, pack_pairs


@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(0, 10_000),
)
def test_every_pair_is_in_one_micro_batch_within_its_bound(ranks, each, seed):
    lengths = np.random.default_rng(seed).integers(1, 65, ranks * each)
    packed = pack_pairs(lengths, 64, ranks)
    assert sorted(place for places in packed for place in places) == list(range(len(lengths)))
    sizes = [int(lengths[places].sum()) for places in packed]
    assert max(sizes) <= 64
    assert min(map(len, packed)) > 0
    assert len(packed) % ranks == 0
    assert sizes == sorted(sizes, reverse=True)


def test_few_micro_batches_where_much_fits():
    assert len(pack_pairs(np.full(32, 10), 80, 2)) == 4


@pytest.mark.parametrize("pairs", [1, 7, 100])
def test_an_epoch_has_every_pair_once_and_the_next_has_them_in_another_order(pairs):
    order = PairOrder(pairs, seed=3)
    first, second = order.locate(0, pairs), order.locate(pairs, pairs)
    assert sorted(first) == sorted(second) == list(range(pairs))
    assert pairs < 7 or first.tolist() != second.tolist()
    assert order.locate(pairs - 1, 2).tolist() == [first[-1], second[0]]
    assert pairs < 7 or PairOrder(pairs, seed=4).locate(0, pairs).tolist() != first.tolist()
