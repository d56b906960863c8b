"""The native engine says what transformers says, however requests share a batch."""

import threading
from dataclasses import replace
from itertools import islice

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.inference import Sampling
from olmoflow.inference.engine import Engine, GenerationRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.model import Olmo3, initialise

GREEDY = Sampling(temperature=0)
NEW = 30


def full_logprobs(model, prompt, tokens):
    """Log-probabilities of the tokens behind the prompt, by the whole forward pass."""
    ids = torch.tensor([prompt + tokens])
    found = model(ids).log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    return found[len(prompt) - 1 :]


def complete(engine, requests, **settings):
    """Completions by request and sample."""
    return {(c.request, c.sample): c for c in engine.generate(requests, **settings)}


@pytest.fixture(scope="module")
def expected(transformers_model, prompts):
    settings = {"max_new_tokens": NEW, "do_sample": False, "eos_token_id": None}
    texts = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        done = transformers_model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
        texts.append(done[0, len(prompt) :].tolist())
    return texts


@pytest.mark.parametrize(
    "settings",
    [
        {"max_batch": 1},
        {"max_batch": 5},
        {"max_batch": 64},
        {"max_batch": 5, "prefill_chunk": 7},
        {"max_batch": 64, "prefill_chunk": 33},
    ],
)
def test_greedy_equals_transformers_whatever_the_batch(model, prompts, expected, settings):
    engine = NativeEngine(model, **settings)
    assert isinstance(engine, Engine)
    done = complete(engine, [GenerationRequest(p, NEW, GREEDY) for p in prompts])
    assert [done[i, 0].token_ids for i in range(len(prompts))] == expected
    for (number, _), completion in done.items():
        torch.testing.assert_close(
            torch.tensor(completion.logprobs),
            full_logprobs(model, prompts[number], completion.token_ids),
            rtol=0,
            atol=1e-4,
        )


def test_batch_size_changes_nothing(model, prompts):
    requests = [
        GenerationRequest(p, NEW, Sampling(1.3, 0.9, 40), n=3, seed=i)
        for i, p in enumerate(prompts)
    ]
    alone, together = (
        complete(NativeEngine(model, max_batch=size), requests) for size in (1, 64)
    )
    assert alone.keys() == together.keys() == {(i, s) for i in range(len(prompts)) for s in range(3)}
    for key, one in alone.items():
        assert one.token_ids == together[key].token_ids
        assert one.logprobs == pytest.approx(together[key].logprobs, abs=1e-4)
    assert len({tuple(c.token_ids) for c in alone.values()}) == 3 * len(prompts)
