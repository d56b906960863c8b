"""The arrangement of ranks, and the line that a wrong one gets."""

import pytest

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh


@pytest.mark.parametrize(
    ("ranks", "shard", "context", "expected"),
    [(1, 1, 1, (1, 1, 1)), (8, None, 1, (1, 8, 1)), (64, 8, 1, (8, 8, 1)), (256, 1, 8, (32, 1, 8))],
)
def test_replicas_follow_from_the_ranks(ranks, shard, context, expected):
    mesh = Mesh.of({"ranks": ranks, "shard": shard, "context": context})
    assert (mesh.replicate, mesh.shard, mesh.context) == expected
    assert mesh.ranks == ranks
    assert mesh.data_ranks * mesh.context == ranks


@pytest.mark.parametrize(
    ("parallel", "cluster", "message"),
    [
        ((None, 1, 1), None, "parallel.ranks: missing"),
        ((6, 4, 1), None, "parallel.ranks=6: expected a multiple of shard = 4"),
        ((8, 2, 3), None, "parallel.context=3: expected a divisor of parallel.ranks=8"),
        ((12, 4, 2), None, "a multiple of shard × context = 4 × 2"),
        ((0, 1, 1), None, "parallel.ranks=0: expected a positive whole number"),
        ((1, 1, 1), 16, "come to 16"),
    ],
)
def test_impossible_arrangements_are_named(parallel, cluster, message):
    names = ("ranks", "shard", "context")
    with pytest.raises(UserError, match=message):
        Mesh.of(dict(zip(names, parallel, strict=True)), cluster)
