"""Pairs of each step: whole, without padding, the same for any ranks and after any resume."""

import numpy as np
import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.tokens import PairDataModule, TokenShards
from olmoflow.tokens.pairs.reference import count_targets, write_log_probs

from .made_pairs import PAIRS, write_pairs

SETTINGS = {
    "sequence_length": 48,
    "global_batch_pairs": 8,
    "micro_batch_tokens": 128,
    "seed": 5,
}


def module(shards, **settings):
    return PairDataModule(str(shards), **{**SETTINGS, **settings})


def steps(data, first, count, rank=0, world=1):
    loader = iter(data.loader(rank, world, first))
    return [next(loader) for _ in range(count)]


def pairs_of(step):
    return sorted(int(pair) for micro in step for pair in micro["pairs"])


def test_a_row_holds_whole_answers_with_labels_on_what_is_learnt_alone(pair_shards):
    shards = TokenShards.open(pair_shards)
    for micro in steps(module(pair_shards), 0, 1)[0]:
        assert micro["input_ids"].shape == micro["labels"].shape == micro["document_ids"].shape
        assert micro["input_ids"].numel() <= 128
        for place, pair in enumerate(micro["pairs"].tolist()):
            for side in (0, 1):
                here = micro["document_ids"] == 2 * place + side
                tokens = shards.document_tokens(2 * pair + side)
                assert micro["input_ids"][here].tolist() == tokens.tolist()
                assert micro["labels"][here].tolist() == [-100, -100, *tokens[3:], -100]
        assert int(micro["document_ids"].max()) == 2 * len(micro["pairs"]) - 1


def test_packing_none_gives_one_pair_at_a_time(pair_shards):
    step = steps(module(pair_shards, packing="none", micro_batch_tokens=1), 0, 1)[0]
    assert [len(micro["pairs"]) for micro in step] == [1] * 8


def test_an_epoch_has_every_pair_once(pair_shards):
    data = module(pair_shards, global_batch_pairs=PAIRS // 3)
    seen = [pair for step in steps(data, 0, 3) for pair in pairs_of(step)]
    assert sorted(seen) == list(range(PAIRS))


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_a_step_in_as_many_micro_batches(pair_shards, world):
    data = module(pair_shards)
    whole = steps(data, 0, 3)
    shares = [steps(data, 0, 3, rank, world) for rank in range(world)]
    for number, step in enumerate(whole):
        mine = [share[number] for share in shares]
        assert sorted(pair for share in mine for pair in pairs_of(share)) == pairs_of(step)
        assert len({len(share) for share in mine}) == 1


def test_resumes_exactly_also_with_another_batch(pair_shards):
    data = module(pair_shards)
    uninterrupted = steps(data, 0, 6)
    data._first_step, data._first_pair = 3, 24
    state = data.state_dict()
    again = module(pair_shards, num_workers=1)
    again.load_state_dict(state)
    for one, other in zip(uninterrupted[3:], steps(again, 3, 3), strict=True):
        for a, b in zip(one, other, strict=True):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[name], b[name]) for name in a)
    halved = module(pair_shards, global_batch_pairs=4)
    halved.load_state_dict(state)
    first, second = (pairs_of(step) for step in steps(halved, 3, 2))
    assert sorted(first + second) == pairs_of(uninterrupted[3])


def test_another_order_does_not_resume(pair_shards):
    other = module(pair_shards, seed=6)
    with pytest.raises(UserError, match="order of pairs"):
        other.load_state_dict(module(pair_shards).state_dict())


def test_what_cannot_be_trained_on_names_the_key(pair_shards, tmp_path, room):
    for settings, message in (
        ({"sequence_length": 20}, "sequence_length=20: .* has an answer of"),
        ({"micro_batch_tokens": 50}, "runtime.micro_batch_tokens=50: the longest pair has"),
        ({"global_batch_pairs": 0}, "global_batch_pairs=0: expected"),
    ):
        with pytest.raises(UserError, match=message):
            module(pair_shards, **settings)
    with pytest.raises(UserError, match="global_batch_pairs=8: expected a multiple of the 3"):
        module(pair_shards).loader(0, 3, 0)
    with pytest.raises(UserError, match="holds plain documents; expected"):
        module(room.shards)
    empty = write_pairs(tmp_path / "empty", [(5, 5), (5, 0)])
    with pytest.raises(UserError, match="pair 1 has an answer of which nothing is learnt"):
        module(empty)


def test_the_reference_of_each_answer_comes_with_its_pair(pair_shards, tmp_path):
    shards = TokenShards.open(pair_shards)
    values = np.arange(2 * PAIRS, dtype=np.float32)
    write_log_probs(tmp_path, shards, values, count_targets(shards))
    for micro in steps(module(pair_shards, reference=str(tmp_path)), 0, 1)[0]:
        pairs = micro["pairs"]
        documents = torch.stack([2 * pairs, 2 * pairs + 1], 1).flatten()
        assert micro["reference"].tolist() == documents.tolist()
        targets = torch.bincount(micro["document_ids"][micro["labels"] != -100])
        assert count_targets(shards)[documents].tolist() == targets.tolist()


def test_a_reference_that_does_not_fit_is_named(pair_shards, tmp_path):
    shards = TokenShards.open(pair_shards)
    values = np.zeros(2 * PAIRS, np.float32)
    with pytest.raises(UserError, match="no log-probabilities"):
        module(pair_shards, reference=str(tmp_path))
    values[7] = np.nan
    write_log_probs(tmp_path, shards, values, count_targets(shards))
    with pytest.raises(UserError, match="document 7 has no log-probability, and 0 others"):
        module(pair_shards, reference=str(tmp_path))
    other = write_pairs(tmp_path / "other", [(5, 6)] * PAIRS)
    with pytest.raises(UserError, match="is of other shards"):
        module(other, reference=str(tmp_path))
