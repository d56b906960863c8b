"""The instance filter against its definition, and what it does to labels and the loss."""

import numpy as np
import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.tokens import InstanceFilter, Source, TokenDataModule
from olmoflow.tokens.windows import FILTERED, IGNORE
from olmoflow.train.objectives import NextTokenPrediction


def repeats(tokens, config):
    """By definition: some stretch is one period, `max_count` times over."""
    for period in range(config.min_period, min(config.max_period, len(tokens) // 3) + 1):
        span = period * config.max_count
        for start in range(len(tokens) - span + 1):
            part = tokens[start : start + span]
            if (part == np.tile(part[:period], config.max_count)).all():
                return True
    return False


def test_it_is_its_definition():
    rng = np.random.default_rng(0)
    config = InstanceFilter(max_period=5, min_period=2, max_count=4)
    verdicts = []
    for _ in range(300):
        tokens = rng.integers(0, 3, 60)
        period, at = rng.integers(1, 7), rng.integers(0, 30)
        count = int(period * rng.integers(2, 6) + rng.integers(-1, 2))
        tokens[at : at + count] = np.resize(tokens[at : at + period], count)[: 60 - at]
        verdicts.append(config.rejects(tokens))
        assert verdicts[-1] == repeats(tokens, config)
    assert 0.1 < np.mean(verdicts) < 0.9


@pytest.mark.parametrize(
    ("period", "count", "rejected"),
    [(13, 32, True), (13, 31, False), (1, 32, True), (14, 40, False)],
)
def test_the_published_filter(period, count, rejected):
    tokens = np.arange(1000, 9192)
    tokens[77 : 77 + period * count] = np.tile(np.arange(period), count)
    assert InstanceFilter().rejects(tokens) is rejected


def module(room, config):
    return TokenDataModule(
        [Source(str(room.shards), max_repetition=100)],
        sequence_length=128,
        global_batch_tokens=128 * 64,
        micro_batch_sequences=64,
        seed=1,
        instance_filter=config,
    )


@pytest.mark.parametrize("counted", [True, False])
def test_masked_sequences_are_no_targets_but_may_count(room, counted):
    config = InstanceFilter(max_count=3, counted=counted)
    ((plain,), (found,)) = (next(iter(module(room, c).loader(0, 1, 0))) for c in (None, config))
    assert torch.equal(plain["input_ids"], found["input_ids"])
    rejected = torch.tensor([repeats(row.numpy(), config) for row in plain["input_ids"]])
    assert rejected.any()
    assert not rejected.all()
    assert (found["labels"][rejected] == (FILTERED if counted else IGNORE)).all()
    assert torch.equal(found["labels"][~rejected], plain["labels"][~rejected])
    targets = int((plain["labels"][~rejected] != IGNORE).sum())
    counts = targets + (int(rejected.sum()) * 128 if counted else 0)
    assert NextTokenPrediction().count(found) == counts


def test_counted_labels_give_no_loss(room):
    from olmoflow.model import Olmo3, Olmo3Config, initialise

    model = Olmo3(Olmo3Config(vocab_size=600, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1,
                              ffn_hidden_size=32, sliding_window=8))  # fmt: skip
    initialise(model, 0, torch.device("cpu"))
    losses = []
    for counted in (True, False):
        config = InstanceFilter(max_count=3, counted=counted)
        (batch,) = next(iter(module(room, config).loader(0, 1, 0)))
        losses.append(NextTokenPrediction()(model, batch).loss_sum.item())
    assert losses[0] == losses[1]


def test_mistakes_are_named():
    with pytest.raises(UserError, match=r"min_period=3: expected 1 to max_period=2"):
        InstanceFilter(max_period=2, min_period=3)
    with pytest.raises(UserError, match=r"max_count=2: expected at least 3"):
        InstanceFilter(max_count=2)
