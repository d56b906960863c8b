"""Scores of continuations are those of the whole forward pass, whatever is shared."""

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.inference.engine import ScoreRequest
from olmoflow.inference.native import NativeEngine


def random_ids(length, seed):
    return torch.randint(96, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


def requests_of_an_evaluation():
    """Few-shot questions with four choices, letters, unconditional ones, and long contexts."""
    examples = random_ids(70, 1)
    requests = []
    for question in range(4):
        context = examples + random_ids(5 + 7 * question, 10 + question)
        for choice in range(4):
            requests.append(ScoreRequest(context, random_ids(1 + choice, 90 + choice)))
    letters = random_ids(30, 5)
    requests += [ScoreRequest(letters, [letter]) for letter in (1, 2, 3, 4)]
    requests += [ScoreRequest([7], random_ids(1 + i % 6, 200 + i)) for i in range(20)]
    requests += [ScoreRequest(random_ids(length, length), [3, 4]) for length in (1, 23, 25, 190)]
    return [*requests, requests[0]]


def by_number(engine, requests):
    return dict(engine.score(requests))


@pytest.mark.parametrize("chunk", [2048, 64, 20])
def test_scores_are_those_of_the_whole_forward_pass(model, chunk):
    requests = requests_of_an_evaluation()
    scores = by_number(NativeEngine(model, prefill_chunk=chunk), requests)
    assert sorted(scores) == list(range(len(requests)))
    for number, request in enumerate(requests):
        ids = torch.tensor([[*request.context_ids, *request.continuation_ids]])
        logits = model(ids)[0, len(request.context_ids) - 1 : -1]
        found = logits.log_softmax(-1).gather(1, torch.tensor(request.continuation_ids)[:, None])
        assert scores[number].logprobs == pytest.approx(found[:, 0].tolist(), abs=1e-4)
        greedy = logits.argmax(-1).tolist() == list(request.continuation_ids)
        assert scores[number].greedy is greedy


def test_the_greedy_continuation_is_known_as_such(model):
    context = random_ids(12, 0)
    likeliest = int(model(torch.tensor([context]))[0, -1].argmax())
    scores = by_number(
        NativeEngine(model),
        [ScoreRequest(context, [likeliest]), ScoreRequest(context, [(likeliest + 1) % 96])],
    )
    assert (scores[0].greedy, scores[1].greedy) == (True, False)


def test_what_requests_share_is_computed_once(model, tokens_read):
    examples = random_ids(100, 1)
    requests = [
        ScoreRequest([*examples, 90, question], [choice, 5, 6])
        for question in range(8)
        for choice in range(4)
    ]
    engine = NativeEngine(model)
    by_number(engine, requests)
    # The examples once; of each question its own token, of each choice all tokens but the last.
    assert tokens_read() == 101 + 8 * (1 + 4 * 2)


def test_nothing_to_score(model):
    assert by_number(NativeEngine(model), []) == {}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ScoreRequest([], [1]), "request 0: context_ids: no tokens found"),
        (ScoreRequest([1], []), "request 0: continuation_ids: no tokens found"),
        (ScoreRequest([1], [99]), "request 0: continuation_ids: 99 found; expected ids from 0"),
        (ScoreRequest([1] * 300, [1] * 21), "request 0: 300 tokens and 21 new ones found"),
    ],
)
def test_requests_that_cannot_be_scored(model, request_, message):
    with pytest.raises(UserError, match=message):
        by_number(NativeEngine(model), [request_])
