"""Whatever the model and however requests share the engine, it says what transformers says."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from olmoflow.inference import Sampling
from olmoflow.inference.engine import GenerationRequest, ScoreRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.inference.native.memory import capacity_for, row_bytes
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.hf.config import to_hf_config
from olmoflow.model.hf.names import NAMES

LONGEST = 96
# Three widths of heads: for each the loops are compiled anew. The kinds of choices that are left
# when these are fixed: how queries share keys, windows, vocabularies that no block divides.
HEADS = st.sampled_from([(1, 1, 8), (4, 2, 8), (6, 2, 16), (3, 3, 16), (2, 1, 40), (9, 3, 40)])
LIKELIEST = [Sampling(0), Sampling(1e-6), Sampling(2.0, 1e-6), Sampling(1.0, 1.0, 1)]
DRAWN = [Sampling(1.0), Sampling(0.7, 0.9, 20), Sampling(3.0, 0.5)]
# The same cases each time: of a million drawn tokens one may lie at the very border of two.
FEW = settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))


@dataclass
class Case:
    """A model, and what transformers makes of it."""

    config: Olmo3Config
    seed: int
    known: dict[tuple[int, ...], torch.Tensor] = field(default_factory=dict)

    def model(self):
        model = Olmo3(self.config)
        initialise(model, seed=self.seed)
        return model.eval().requires_grad_(False)

    def theirs(self):
        from transformers import Olmo3Config as HFConfig
        from transformers import Olmo3ForCausalLM

        values = to_hf_config(self.config, self.config.vocab_size, "float32")
        model = Olmo3ForCausalLM(HFConfig(**values, pad_token_id=0, eos_token_id=None)).eval()
        weights = self.model().state_dict()
        model.load_state_dict({NAMES.theirs(name): each for name, each in weights.items()})
        return model

    @torch.inference_mode()
    def logprobs(self, ids):
        """[len(ids), V] of transformers."""
        if not hasattr(self, "_theirs"):
            self._theirs = self.theirs()
        key = tuple(ids)
        if key not in self.known:
            self.known[key] = self._theirs(torch.tensor([ids])).logits[0].log_softmax(-1)
        return self.known[key]


@st.composite
def cases(draw):
    heads, kv_heads, width = draw(HEADS)
    config = Olmo3Config(
        vocab_size=draw(st.sampled_from([17, 96, 129, 257])),
        d_model=draw(st.sampled_from([16, 48, 72])),
        n_layers=draw(st.integers(1, 6)),
        n_heads=heads,
        n_kv_heads=kv_heads,
        head_dim=width,
        ffn_hidden_size=draw(st.sampled_from([8, 50, 64])),
        sliding_window=draw(st.sampled_from([1, 2, 7, 16, 33, 64])),
        max_sequence_length=LONGEST,
        init_std=0.3,
    )
    return Case(config, draw(st.integers(0, 99)))


def draw_ids(draw, case, length):
    seed = draw(st.integers(0, 2**16))
    return np.random.default_rng(seed).integers(case.config.vocab_size, size=length).tolist()


def draw_requests(draw, case):
    shared, requests = draw_ids(draw, case, LONGEST), []
    for number in range(draw(st.integers(1, 7))):
        length = draw(st.one_of(st.integers(1, 3), st.integers(1, LONGEST - 1)))
        begins = draw(st.integers(0, length))
        prompt = shared[:begins] + draw_ids(draw, case, length - begins)
        new = draw(st.integers(1, LONGEST - length))
        sampling = draw(st.sampled_from(LIKELIEST + DRAWN))
        stops = draw(st.frozensets(st.integers(0, case.config.vocab_size - 1), max_size=2))
        samples = draw(st.sampled_from([1, 1, 3]))
        requests.append(GenerationRequest(prompt, new, sampling, samples, number, stops))
    return requests


def draw_engine(draw, case, requests):
    """However many at a time, chunks of any length, and memory that may hold one and no more."""
    longest = max(len(each.prompt_ids) + each.max_new_tokens for each in requests)
    row = row_bytes(case.config, capacity_for(longest, LONGEST), torch.float32)
    room = draw(st.sampled_from([None, 1.0, 1.4, 3.0]))
    return NativeEngine(
        case.model(),
        max_batch=draw(st.sampled_from([1, 3, 64])),
        prefill_chunk=draw(st.sampled_from([1, 5, 2048])),
        cache_gib=None if room is None else (room * row * 8 / 7 + 8) / 2**30,
    )


@FEW
@given(case=cases(), data=st.data())
def test_what_is_generated(case, data):
    requests = draw_requests(data.draw, case)
    found = []
    for _ in range(2):
        engine = draw_engine(data.draw, case, requests)
        found.append({(c.request, c.sample): c for c in engine.generate(requests)})
    one, other = found
    assert set(one) == set(other) == {(i, s) for i, r in enumerate(requests) for s in range(r.n)}
    for (number, _), completion in one.items():
        check(case, requests[number], completion)
    for key, completion in one.items():
        assert completion.token_ids == other[key].token_ids
        assert completion.logprobs == pytest.approx(other[key].logprobs, abs=1e-4)


def check(case, request, completion):
    """Log-probabilities are transformers', and where the likeliest token is wanted it is that."""
    said, before = completion.token_ids, len(request.prompt_ids)
    expected = case.logprobs([*request.prompt_ids, *said])[before - 1 : -1]
    of_tokens = expected[torch.arange(len(said)), torch.tensor(said)]
    assert completion.logprobs == pytest.approx(of_tokens.tolist(), abs=1e-4)
    if request.sampling in LIKELIEST:
        assert (of_tokens >= expected.amax(-1) - 1e-4).all()
    assert not request.stop_ids.intersection(said[:-1])
    if completion.finish_reason == "stop":
        assert said[-1] in request.stop_ids
    else:
        assert len(said) == request.max_new_tokens


@FEW
@given(case=cases(), data=st.data())
def test_what_is_scored(case, data):
    draw, requests = data.draw, []
    contexts = [draw_ids(draw, case, draw(st.integers(1, LONGEST - 1))) for _ in range(3)]
    for _ in range(draw(st.integers(1, 12))):
        context = draw(st.sampled_from(contexts))
        context = context[: draw(st.integers(1, len(context)))]
        length = draw(st.integers(1, LONGEST - len(context)))
        requests.append(ScoreRequest(context, draw_ids(draw, case, length)))
    engine = NativeEngine(case.model(), prefill_chunk=draw(st.sampled_from([1, 5, 2048])))
    scores = dict(engine.score(requests))
    assert set(scores) == set(range(len(requests)))
    for number, request in enumerate(requests):
        ids = [*request.context_ids, *request.continuation_ids]
        expected = case.logprobs(ids)[len(request.context_ids) - 1 : -1]
        places = torch.arange(len(request.continuation_ids))
        of_tokens = expected[places, torch.tensor(request.continuation_ids)]
        assert scores[number].logprobs == pytest.approx(of_tokens.tolist(), abs=1e-4)
        if not scores[number].greedy:
            assert (of_tokens < expected.amax(-1) + 1e-4).any()
        else:
            assert (of_tokens >= expected.amax(-1) - 1e-4).all()
