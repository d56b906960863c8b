"""Packing: no token lost, none twice, as full as best-fit-decreasing gets."""

import numpy as np
import pytest
import torch

from olmoflow.tokens import Source, TokenDataModule
from olmoflow.tokens.packing import best_fit, pack_documents, pack_source
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import IGNORE

LENGTH = 256


def plain_best_fit(lengths, capacity):
    """The definition: each into the bin with the least free space that suffices, the latest one."""
    free, last_used, bins = [], [], []
    for index, length in enumerate(lengths):
        fits = [b for b in range(len(free)) if free[b] >= length]
        if fits:
            chosen = min(fits, key=lambda b: (free[b], -last_used[b]))
        else:
            free.append(capacity)
            last_used.append(0)
            chosen = len(free) - 1
        free[chosen] -= length
        last_used[chosen] = index
        bins.append(chosen)
    return bins


def first_fit(lengths, capacity):
    free = []
    for length in lengths:
        fit = next((b for b, room in enumerate(free) if room >= length), None)
        if fit is None:
            free.append(capacity - length)
        else:
            free[fit] -= length
    return len(free)


@pytest.mark.parametrize("capacity", [1, 7, 64, 100])
def test_best_fit_is_its_definition(capacity):
    rng = np.random.default_rng(capacity)
    for _ in range(10):
        lengths = np.minimum(rng.geometric(3 / capacity if capacity > 3 else 0.9, 200), capacity)
        for order in (lengths, np.sort(lengths)[::-1].copy()):
            assert best_fit(order, capacity).tolist() == plain_best_fit(order, capacity)


@pytest.mark.parametrize("seed", range(3))
def test_packing_is_tighter_than_first_fit_and_near_the_bound(seed):
    rng = np.random.default_rng(seed)
    lengths = np.minimum(rng.lognormal(4.5, 1.2, 2000).astype(np.int64) + 1, 5000)
    starts = np.cumsum(lengths) - lengths
    packed = pack_documents(starts, lengths, 512)
    pieces = [min(512, n - at) for n in lengths.tolist() for at in range(0, n, 512)]
    bound = -(-sum(pieces) // 512)
    assert bound <= packed.sequences <= first_fit(pieces, 512)
    assert packed.sequences <= 1.01 * bound


def test_every_token_of_every_document_is_in_one_sequence_once():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 900, 500)
    starts = np.cumsum(lengths) - lengths
    packed = pack_documents(starts, lengths, 256)
    seen = np.zeros(lengths.sum(), int)
    ends = set(np.cumsum(lengths).tolist())
    rows = zip(packed.starts, packed.lengths, packed.continues, strict=True)
    for start, length, continues in rows:
        seen[start : start + length] += 1
        assert (start + length in ends) != continues
    assert (seen == 1).all()
    per_sequence = np.add.reduceat(packed.lengths, packed.offsets[:-1])
    assert per_sequence.max() <= 256
    # Documents that fit are whole: only longer ones are cut.
    assert len(packed.lengths) == (-(-lengths // 256)).sum()


def module(room, **kwargs):
    source = Source(str(room.shards), max_repetition=100, shuffle_chunks=kwargs.pop("chunks", None))
    settings = {"micro_batch_sequences": 2, "seed": 5, "document_mask": True, **kwargs}
    return TokenDataModule(
        [source],
        sequence_length=LENGTH,
        global_batch_tokens=4 * LENGTH,
        packing="best_fit",
        **settings,
    )


@pytest.mark.parametrize("chunks", [None, 1])
def test_an_epoch_has_each_document_once_with_its_ids_and_labels(room, chunks):
    data = module(room, chunks=chunks)
    shards, (packed,) = TokenShards.open(room.shards), data.reader.packed
    batches = data.reader.micro_batches(0, packed.sequences)
    inputs, labels, ids = (
        torch.cat([batch[key] for batch in batches])
        for key in ("input_ids", "labels", "document_ids")
    )
    pieces, order = {}, data.mixture.locate(0, packed.sequences)[1]
    for row, sequence in enumerate(order.tolist()):
        number = -1
        span = range(packed.offsets[sequence], packed.offsets[sequence + 1])
        for number, piece in enumerate(span):
            pieces[int(packed.starts[piece])] = inputs[row][ids[row] == number]
        total = int(packed.lengths[span.start : span.stop].sum())
        # Padding is a document apart, and no target.
        assert (ids[row, total:] == number + 1).all()
        assert (ids[row].diff() >= 0).all()
        assert torch.equal(labels[row, : total - 1], inputs[row, 1:total])
        cut = packed.continues[span[-1]]
        assert (labels[row, total:] == IGNORE).all()
        assert (labels[row, total - 1] == IGNORE) == (not cut)
        if cut:
            after = int(packed.starts[span[-1]] + packed.lengths[span[-1]])
            assert labels[row, total - 1] == shards.read(after, 1)[0]
    found = torch.cat([pieces[start] for start in sorted(pieces)])
    np.testing.assert_array_equal(found.numpy(), shards.read(0, len(shards)))


def test_nothing_attends_across_documents(room):
    from olmoflow.model import Olmo3, Olmo3Config, initialise

    config = Olmo3Config(
        vocab_size=600, d_model=16, n_layers=4, n_heads=2, n_kv_heads=1, ffn_hidden_size=32,
        sliding_window=64, max_sequence_length=LENGTH,
    )  # fmt: skip
    model = Olmo3(config)
    initialise(model, 0, torch.device("cpu"))
    data = module(room)
    (packed,) = data.reader.packed
    batch = data.reader.micro_batches(0, packed.sequences)
    tokens, ids = next(
        (b["input_ids"][:1], b["document_ids"][:1]) for b in batch if b["document_ids"][0].max() > 1
    )
    other = torch.where(ids == 0, (tokens + 1) % 600, tokens)
    with torch.no_grad():
        change = (model.hidden_states(tokens, ids) - model.hidden_states(other, ids)).abs().amax(-1)
    assert (change[ids == 0] > 0).any()
    assert (change[ids > 0] == 0).all()


def test_packed_and_concatenated_are_different_orders(room):
    plain = TokenDataModule(
        [Source(str(room.shards), max_repetition=100)],
        sequence_length=LENGTH,
        global_batch_tokens=LENGTH,
        micro_batch_sequences=1,
        seed=5,
    )
    assert plain.mixture.fingerprint() != module(room).mixture.fingerprint()


def test_a_group_of_chunks_is_packed_by_itself(room):
    shards = TokenShards.open(room.shards)
    packed = pack_source(shards, LENGTH, 1)
    assert len(packed.group_starts) == len(shards.chunks) > 1
    for number, first in enumerate(packed.group_starts):
        last = [*packed.group_starts, packed.sequences][number + 1]
        starts = packed.starts[packed.offsets[first] : packed.offsets[last]]
        assert set(shards.ends.searchsorted(starts, side="right")) >= {number}
