"""The model in training scores as it would by itself, and trains on as if it had not."""

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.evaluate.in_loop.scorer import TrainingScorer
from olmoflow.inference.engine import ScoreRequest
from olmoflow.model import Olmo3, Olmo3Config, initialise


@pytest.fixture
def model():
    config = Olmo3Config(
        vocab_size=128,
        d_model=16,
        n_layers=2,
        n_heads=2,
        n_kv_heads=2,
        ffn_hidden_size=24,
        sliding_window=8,
        max_sequence_length=256,
        init_std=0.3,
    )
    made = Olmo3(config)
    initialise(made, seed=0)
    return made.train()


def requests():
    draw = torch.Generator().manual_seed(1)
    return [
        ScoreRequest(
            torch.randint(128, (length,), generator=draw).tolist(),
            torch.randint(128, (1 + length % 3,), generator=draw).tolist(),
        )
        for length in range(1, 40, 3)
    ]


@pytest.mark.parametrize("batch_tokens", [1, 64, 10_000])
def test_scores_are_those_of_each_request_by_itself(model, batch_tokens):
    found = dict(TrainingScorer(model, batch_tokens=batch_tokens).score(requests()))
    for number, request in enumerate(requests()):
        whole = torch.tensor([[*request.context_ids, *request.continuation_ids]])
        with torch.no_grad():
            logprobs = model(whole)[0].log_softmax(-1)
        first = len(request.context_ids) - 1
        expected = [
            logprobs[first + place, token].item()
            for place, token in enumerate(request.continuation_ids)
        ]
        assert found[number].logprobs == pytest.approx(expected, abs=1e-5)


def test_the_model_is_left_as_it_was(model):
    model.context = object()  # what ranks that share sequences have
    before = {name: p.clone() for name, p in model.named_parameters()}
    scores = dict(TrainingScorer(model, batch_tokens=64).score(requests()))
    assert len(scores) == len(requests())
    assert model.training
    assert model.context is not None
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_lengths_that_vary_compile_nothing_anew(model):
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    for block in model.blocks:
        block.compile(backend=backend)
    batch = torch.randint(128, (2, 32))
    model(batch).sum().backward()
    graphs = len(compiled)
    assert graphs > 0
    dict(TrainingScorer(model, batch_tokens=64).score(requests()))
    model(batch).sum().backward()
    assert len(compiled) == graphs


def test_ids_that_the_tokenizer_lacks_are_refused(model):
    scorer = TrainingScorer(model, batch_tokens=64, vocab_size=100)
    with pytest.raises(UserError, match="id 100 found; expected ids from 0 to 99"):
        list(scorer.score([ScoreRequest([1], [100])]))
