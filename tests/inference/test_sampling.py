"""Temperature, top-k and top-p, and tokens that follow their distribution."""

import numpy as np
import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.inference.native.uniform import stream_key, uniforms
from olmoflow.inference.sampling import Sampling, SamplingRows, choose, distribution

LOGITS = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()


def rows(temperature=1.0, top_p=1.0, top_k=4):
    return SamplingRows(torch.tensor([temperature]), torch.tensor([top_p]), torch.tensor([top_k]))


def test_distribution_of_top_k_and_top_p():
    found = distribution(LOGITS, rows(top_p=0.65))[0].tolist()
    assert found == pytest.approx([0, 4 / 7, 0, 3 / 7])
    # The token that reaches the threshold is in, also when it alone reaches it.
    assert distribution(LOGITS, rows(top_p=0.01))[0].tolist() == [0, 1, 0, 0]
    found = distribution(LOGITS, rows(top_k=3))[0].tolist()
    assert found == pytest.approx([0, 4 / 9, 2 / 9, 3 / 9])
    hot = distribution(LOGITS, rows(temperature=2.0))[0].tolist()
    assert hot == pytest.approx((LOGITS[0] / 2).softmax(-1).tolist())


@pytest.mark.parametrize("vocabulary", [5, 128, 300])
def test_samples_follow_the_distribution_and_say_their_logprob(vocabulary):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, vocabulary, generator=generator) * 2
    many = 40_000
    drawn = torch.rand(many, generator=generator)
    settings = SamplingRows(torch.full((many,), 1.5), some_greedy=False)
    tokens, logprobs = choose(logits.expand(many, -1), settings, drawn)
    shares = tokens.bincount(minlength=vocabulary) / many
    assert shares.tolist() == pytest.approx((logits / 1.5).softmax(-1)[0].tolist(), abs=0.012)
    expected = logits.log_softmax(-1)[0][tokens]
    torch.testing.assert_close(logprobs, expected, rtol=0, atol=1e-5)


def test_tokens_without_probability_are_never_drawn():
    """At the very ends of the interval too."""
    logits = torch.full((3, 300), -torch.inf)
    logits[:, [130, 140]] = 0.0
    ends = torch.tensor([0.0, 0.5, 1 - 2**-23])
    tokens, _ = choose(logits, SamplingRows(torch.ones(3), some_greedy=False), ends)
    assert tokens.tolist() == [130, 140, 140]


def test_greedy_and_sampled_rows_in_one_batch():
    settings = SamplingRows(torch.tensor([0.0, 1.0]))
    tokens, logprobs = choose(LOGITS.expand(2, -1), settings, torch.tensor([0.05, 0.05]))
    assert tokens.tolist() == [1, 0]
    assert logprobs.exp().tolist() == pytest.approx([0.4, 0.1])


def test_an_unlikely_token_keeps_its_logprob():
    logits = torch.tensor([[0.0, -300.0]])
    tokens, logprobs = choose(logits, SamplingRows(torch.tensor([1000.0])), torch.tensor([0.9]))
    assert (tokens.item(), logprobs.item()) == (1, -300.0)


def test_numbers_are_uniform_and_of_their_place_alone():
    keys = np.array([stream_key(seed, sample) for seed in (0, 1) for sample in (0, 1)], np.uint64)
    assert len(set(keys.tolist())) == 4
    places = np.arange(50_000)
    numbers = [uniforms(np.full(len(places), key), places) for key in keys]
    for series in numbers:
        assert series.min() >= 0
        assert series.max() < 1
        assert np.histogram(series, 10, (0, 1))[0] / len(series) == pytest.approx(0.1, abs=0.01)
        assert abs(np.corrcoef(series[:-1], series[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(numbers)[np.triu_indices(4, 1)]).max() < 0.02
    assert uniforms(keys, np.full(4, 7)).tolist() == [series[7] for series in numbers]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"temperature": -1}, "temperature"), ({"top_p": 0}, "top_p"), ({"top_k": 0}, "top_k")],
)
def test_sampling_values_out_of_range(settings, message):
    with pytest.raises(UserError, match=f"{message}="):
        Sampling(**settings)
