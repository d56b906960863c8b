"""The native engine says what transformers says, however requests share a batch."""

import threading
import time
from dataclasses import replace
from itertools import islice

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.inference import Sampling
from olmoflow.inference.engine import Engine, GenerationRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.inference.native.memory import row_bytes
from olmoflow.inference.native.network import Network
from olmoflow.model import Olmo3, initialise

GREEDY = Sampling(temperature=0)
NEW = 24
PROMPT = [5, 9, 2, 40, 7]


def next_logprobs(model, prompt, tokens):
    """Log-probabilities of the tokens behind the prompt, by the whole forward pass."""
    ids = torch.tensor([prompt + tokens])
    found = model(ids).log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    return found[len(prompt) - 1 :]


def complete(engine, requests, **settings):
    """Completions by request and sample."""
    return {(c.request, c.sample): c for c in engine.generate(requests, **settings)}


def assert_is_what_the_model_says(model, prompt, completion):
    torch.testing.assert_close(
        torch.tensor(completion.logprobs),
        next_logprobs(model, prompt, completion.token_ids),
        rtol=0,
        atol=1e-4,
    )


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
        {"max_batch": 3},
        {"max_batch": 64},
        {"max_batch": 4, "prefill_chunk": 7},
        {"max_batch": 64, "prefill_chunk": 33},
    ],
    ids=str,
)
def test_greedy_equals_transformers_whatever_the_batch(model, prompts, expected, settings):
    engine = NativeEngine(model, **settings)
    assert isinstance(engine, Engine)
    done = complete(engine, [GenerationRequest(p, NEW, GREEDY) for p in prompts])
    assert [done[i, 0].token_ids for i in range(len(prompts))] == expected
    for (number, _), completion in done.items():
        assert completion.finish_reason == "length"
        assert_is_what_the_model_says(model, prompts[number], completion)


def test_what_shares_the_batch_changes_no_sample(model, prompts):
    requests = [
        GenerationRequest(p, NEW, Sampling(1.3, 0.9, 40), n=3, seed=i)
        for i, p in enumerate(prompts)
    ]
    alone, together = (complete(NativeEngine(model, max_batch=size), requests) for size in (2, 64))
    assert set(alone) == set(together) == {(i, s) for i in range(len(prompts)) for s in range(3)}
    for key, one in alone.items():
        assert one.token_ids == together[key].token_ids
        assert one.logprobs == pytest.approx(together[key].logprobs, abs=1e-4)
    assert len({tuple(c.token_ids) for c in alone.values()}) == 3 * len(prompts)


def test_a_seed_repeats_and_another_differs(model):
    requests = [GenerationRequest(PROMPT, 20, seed=seed) for seed in (1, 1, 2, -1)]
    done = complete(NativeEngine(model), requests)
    texts = [done[i, 0].token_ids for i in range(4)]
    assert texts[0] == texts[1]
    assert len(set(map(tuple, texts))) == 3


def test_a_common_beginning_is_read_once(model, tokens_read):
    """Also behind the window, and where the others come when the first has gone."""
    examples = torch.randint(96, (100,), generator=torch.Generator().manual_seed(1)).tolist()
    questions = [[*examples, i, 50 + i, 20 + i] for i in range(7)]
    engine = NativeEngine(model, max_batch=3)
    done = complete(engine, [GenerationRequest(q, 5, GREEDY) for q in questions])
    # The examples once, then of every question and answer each token but the last.
    assert tokens_read() == len(examples) + len(questions) * (3 + 5 - 1)
    for (number, _), completion in done.items():
        assert_is_what_the_model_says(model, questions[number], completion)


def test_a_word_that_all_begin_with_hides_no_longer_beginning(model, tokens_read):
    """Six begin with the same five tokens, two of them with the same hundred."""
    generator = torch.Generator().manual_seed(1)
    hundred = torch.randint(96, (100,), generator=generator).tolist()
    others = [[*hundred[:5], i, *range(30, 50)] for i in range(4)]
    prompts = [*others, [*hundred, 1, 2], [*hundred, 3, 4]]
    engine = NativeEngine(model)
    done = complete(engine, [GenerationRequest(p, 2, GREEDY) for p in prompts])
    assert tokens_read() == 4 * (26 + 1) + 100 + 2 * (2 + 1)
    for (number, _), completion in done.items():
        assert_is_what_the_model_says(model, prompts[number], completion)


def test_who_comes_together_speaks_together_and_nobody_waits_for_a_long_prompt(model, monkeypatch):
    steps = []
    run = Network.next_logits

    def counted(self, parts, ids, positions, vocab_size):
        steps.append(len(ids))
        return run(self, parts, ids, positions, vocab_size)

    monkeypatch.setattr(Network, "next_logits", counted)
    engine = NativeEngine(model, prefill_chunk=40)
    short = [[i, *range(10, 20)] for i in range(8)]
    complete(engine, [GenerationRequest(prompt, 6) for prompt in short])
    assert steps == [8] * 6  # three chunks were read before the first

    steps.clear()
    said = []
    long = torch.randint(96, (300,), generator=torch.Generator().manual_seed(1)).tolist()
    requests = [GenerationRequest(short[0], 5), GenerationRequest(long, 5)]
    complete(engine, requests, on_token=lambda request, *_: said.append(request))
    assert said == [0] * 5 + [1] * 5


def test_samples_of_a_prompt_share_its_reading(model, tokens_read):
    prompt = torch.randint(96, (120,), generator=torch.Generator().manual_seed(1)).tolist()
    engine = NativeEngine(model, max_batch=3)
    done = complete(engine, [GenerationRequest(prompt, 4, n=7, prompt_logprobs=True)])
    assert tokens_read() == len(prompt) - 1 + 7 * 4
    expected = next_logprobs(model, prompt[:1], prompt[1:])
    for completion in done.values():
        assert_is_what_the_model_says(model, prompt, completion)
        assert completion.prompt_logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_prompt_logprobs_in_any_chunks(model, prompts):
    requests = [GenerationRequest(p, 1, prompt_logprobs=True) for p in prompts]
    done = complete(NativeEngine(model, prefill_chunk=10), requests)
    for (number, _), completion in done.items():
        expected = next_logprobs(model, prompts[number][:1], prompts[number][1:]).tolist()
        assert completion.prompt_logprobs == pytest.approx(expected, abs=1e-4)


def test_prompt_logprobs_of_who_had_to_leave_for_lack_of_memory(model):
    """Who read the prompt and is seated anew does not take its log-probabilities away."""
    longest = row_bytes(model.config, 192, torch.float32)
    engine = NativeEngine(model, cache_gib=1.5 * longest * 8 / 7 / 2**30)
    done = complete(engine, [GenerationRequest(PROMPT, 180, GREEDY, n=3, prompt_logprobs=True)])
    expected = next_logprobs(model, PROMPT[:1], PROMPT[1:]).tolist()
    for completion in done.values():
        assert completion.prompt_logprobs == pytest.approx(expected, abs=1e-4)


def test_memory_that_holds_few_sequences_at_a_time(model, prompts, expected):
    """Who has to leave goes on later as if nothing had been."""
    for room in (1, 2, 4):
        longest = row_bytes(model.config, 192, torch.float32)
        engine = NativeEngine(model, cache_gib=room * longest * 8 / 7 / 2**30 + 1e-6)
        done = complete(engine, [GenerationRequest(p, NEW, GREEDY) for p in prompts])
        assert [done[i, 0].token_ids for i in range(len(prompts))] == expected


def test_requests_are_taken_as_places_become_free(model):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield GenerationRequest(PROMPT, 3 + len(taken) % 5, seed=len(taken))

    engine = NativeEngine(model, max_batch=4)
    done = list(islice(engine.generate(endless()), 30))
    assert len(taken) <= 30 + 4 + 4
    assert {c.request for c in done} >= set(range(20))


def test_a_stream_that_has_nothing_at_the_moment_lets_the_others_go_on(model):
    arrived = [GenerationRequest(PROMPT, 6), None, None, GenerationRequest(PROMPT, 2), None]
    assert len(complete(NativeEngine(model), arrived)) == 2


def test_stop_tokens_and_the_stream_of_tokens(model):
    engine, seen = NativeEngine(model), []
    request = GenerationRequest(PROMPT, 20, seed=1)
    [whole] = engine.generate([request], on_token=lambda *token: seen.append(token))
    assert seen == [(0, 0, token) for token in whole.token_ids]
    stop = whole.token_ids[6]
    request = GenerationRequest(PROMPT, 20, seed=1, stop_ids=frozenset([stop, 95]))
    [done] = engine.generate([request])
    assert done.token_ids == whole.token_ids[: whole.token_ids.index(stop) + 1]
    assert done.finish_reason == "stop"


def test_stop_texts_across_tokens(model, tokenizer):
    engine = NativeEngine(model, tokenizer=tokenizer, vocab_size=94)  # no special tokens
    [whole] = engine.generate([GenerationRequest(PROMPT, 40, seed=1)])
    assert whole.text == tokenizer.decode(whole.token_ids)
    stop = whole.text[10:13]
    request = GenerationRequest(PROMPT, 40, seed=1, stop_texts=("never said", stop))
    [done] = engine.generate([request])
    assert done.finish_reason == "stop"
    assert done.text == whole.text.partition(stop)[0]
    assert tokenizer.decode(done.token_ids) == done.text + stop


def test_rows_that_pad_the_vocabulary_are_never_chosen(model):
    engine = NativeEngine(model, vocab_size=41)
    [done] = engine.generate([GenerationRequest(PROMPT, 50, Sampling(5.0))])
    assert max(done.token_ids) < 41
    assert engine.vocab_size == 41


def other_weights(model):
    other = Olmo3(model.config)
    initialise(other, seed=8)
    return other.eval().requires_grad_(False)


def test_weights_change_between_two_steps(model):
    """Running requests go on, each token says which weights made it, and new ones see only new."""
    other = other_weights(model)
    engine = NativeEngine(model, max_batch=2)
    tokens = []

    def swap(request, sample, token):
        tokens.append(token)
        if len(tokens) == 10:  # from another thread, while this one steps
            change = threading.Thread(target=engine.update_weights, args=(5, other.state_dict()))
            change.start()
            started.append(change)
            while not engine._turns._next.locked():  # it is in the queue for the next turn
                time.sleep(0.001)

    started = []
    before = engine.version
    first, second = engine.generate(
        [GenerationRequest(PROMPT, 200, GREEDY), GenerationRequest(PROMPT, 100, GREEDY)],
        on_token=swap,
    )
    started[0].join()
    assert (before, engine.version) == (0, 5)
    for done in (first, second):
        assert done.versions == sorted(done.versions)
        assert set(done.versions) == {0, 5}
    [new] = engine.generate([GenerationRequest(PROMPT, 30, GREEDY)])
    assert new.versions == [5] * 30
    assert_is_what_the_model_says(other, PROMPT, new)


def test_weights_that_do_not_fit_change_nothing(model):
    engine = NativeEngine(model)
    [before] = engine.generate([GenerationRequest(PROMPT, 10, GREEDY)])
    good = other_weights(model).state_dict()
    wrong = {
        "norm.weight is missing": {k: v for k, v in good.items() if k != "norm.weight"},
        "extra found, which the model does not have": {**good, "extra": torch.ones(1)},
        r"norm.weight of shape \[3\] found, \[48\] expected": {
            **good,
            "norm.weight": torch.ones(3),
        },
    }
    for message, weights in wrong.items():
        with pytest.raises(UserError, match=message):
            engine.update_weights(1, weights)
    [after] = engine.generate([GenerationRequest(PROMPT, 10, GREEDY)])
    assert after.versions == [0] * 10
    assert after.token_ids == before.token_ids


def test_bf16(model):
    half = Olmo3(model.config, compute_dtype=torch.bfloat16)
    half.load_state_dict(model.state_dict())
    half.to(torch.bfloat16)
    [done] = NativeEngine(half).generate([GenerationRequest(PROMPT, 30, seed=2)])
    ids = torch.tensor([PROMPT + done.token_ids])
    found = half(ids).log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[len(PROMPT) - 1 :, 0]
    torch.testing.assert_close(torch.tensor(done.logprobs), found, rtol=0, atol=0.15)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GenerationRequest([], 4), "request 1: prompt_ids: no tokens found"),
        (GenerationRequest([1, 96], 4), "prompt_ids: 96 found; expected ids from 0 to 95"),
        (GenerationRequest([1] * 316, 5), "max_length=320; expected at most 4 new ones"),
        (GenerationRequest([1], 0), "request 1: max_new_tokens=0: expected at least 1"),
        (GenerationRequest([1], 1, n=0), "request 1: n=0: expected at least 1"),
        (GenerationRequest([1], 1, stop_ids=frozenset([200])), "stop_ids: 200 found"),
        (GenerationRequest([1], 1, stop_texts=("a",)), "stop_texts need a tokenizer"),
    ],
)
def test_requests_that_cannot_be_fulfilled(model, request_, message):
    engine = NativeEngine(model)
    with pytest.raises(UserError, match=message):
        list(engine.generate([GenerationRequest(PROMPT, 1), request_]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch": 0}, "max_batch=0: expected at least 1"),
        ({"max_length": 400}, "max_length=400: expected 1 to 320"),
        ({"max_length": 0}, "max_length=0: expected 1 to 320"),
        ({"vocab_size": 97}, "vocab_size=97: expected 1 to 96"),
        ({"cache_gib": 1e-9}, "cache_gib=9.31e-10: expected at least .*, which one sequence of 64"),
    ],
)
def test_settings_out_of_range(model, settings, message):
    with pytest.raises(UserError, match=message):
        NativeEngine(model, **settings)


def test_another_models_tokenizer(model, tokenizer):
    model = Olmo3(replace(model.config, vocab_size=80))
    with pytest.raises(UserError, match="tokenizer: it has 96 tokens, the model 80 rows"):
        NativeEngine(model, tokenizer=tokenizer)


def test_a_request_that_memory_could_never_hold(model):
    engine = NativeEngine(model, cache_gib=row_bytes(model.config, 96, torch.float32) * 2**-30 * 2)
    with pytest.raises(UserError, match=r"request 0: 320 tokens need .* more than cache_gib="):
        list(engine.generate([GenerationRequest([1] * 300, 20)]))


def test_a_closed_engine_says_so(model):
    engine = NativeEngine(model)
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        list(engine.generate([GenerationRequest(PROMPT, 1)]))
