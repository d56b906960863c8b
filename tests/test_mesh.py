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


@pytest.mark.parametrize(
    ("mesh", "batch", "length", "message"),
    [
        (Mesh(), 100, 64, "global_batch_tokens=100: expected a multiple of sequence_length=64"),
        (Mesh(2, 2), 6 * 64, 64, "into 4 ranks × micro_batch_sequences=2 of 64 tokens; .* 512"),
        (Mesh(1, 1, 2), 2 * 66, 66, "sequence_length=66: expected a multiple of 4"),
    ],
)
def test_a_batch_that_the_ranks_cannot_share_is_named(mesh, batch, length, message):
    share = {"sequence_length": length, "micro_batch_sequences": 2}
    with pytest.raises(UserError, match=message):
        mesh.check_batch(global_batch_tokens=batch, **share)
    Mesh(1, 1, 2).check_batch(
        global_batch_tokens=4 * 64, sequence_length=64, micro_batch_sequences=2
    )


def test_pairs_are_cut_among_whole_ranks():
    Mesh(2, 4, 1).check_pairs(128)
    with pytest.raises(UserError, match=r"^global_batch_pairs=12: expected a multiple of the 8"):
        Mesh(2, 4, 1).check_pairs(12)
    with pytest.raises(UserError, match=r"^global_batch_pairs=None: expected a positive number"):
        Mesh().check_pairs(None)
    with pytest.raises(UserError, match=r"^parallel.context=2: expected 1, since"):
        Mesh(1, 1, 2).check_pairs(8)
