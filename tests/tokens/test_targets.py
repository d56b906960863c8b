"""Which tokens are learnt, asked of any range of the shards."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from olmoflow.tokens.targets import Targets


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4)), max_size=12),
    st.integers(0, 90),
    st.integers(0, 90),
)
def test_a_range_says_of_each_token_whether_it_is_learnt(gaps, start, length):
    learnt, starts, ends = [], [], []
    for gap, span in gaps:
        learnt += [False] * gap
        starts.append(len(learnt))
        learnt += [True] * span
        ends.append(len(learnt))
    learnt += [False] * 200
    targets = Targets(np.array(starts, np.int64), np.array(ends, np.int64))
    out = np.ones(length, bool)
    targets.mask(start, out)
    assert out.tolist() == learnt[start : start + length]
    assert len(targets) == sum(learnt)


def test_a_tables_spans_count_from_their_documents():
    table = pa.table(
        {
            "start": [0, 10, 20],
            "targets": pa.array([[1, 3, 5, 6], [], [0, 4]], pa.list_(pa.int32())),
        }
    )
    targets = Targets.of(table)
    assert (targets.starts.tolist(), targets.ends.tolist()) == ([1, 5, 20], [3, 6, 24])
