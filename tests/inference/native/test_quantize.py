"""Packed weights: smaller, and close to what they stand for."""

import sys
from dataclasses import replace

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.inference import Sampling
from olmoflow.inference.engine import GenerationRequest, ScoreRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.inference.native.panels import Panels
from olmoflow.model import Olmo3, Olmo3Config, initialise

CONFIG = Olmo3Config(
    vocab_size=96,
    d_model=64,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=128,
    sliding_window=16,
    max_sequence_length=128,
    init_std=0.1,
)
TEXT = [5, 9, 2, 40, 7, 1, 88, 3, 60, 17, 23, 4]
# Mean difference of log-probabilities, in nats, whose standard deviation is 0.8 to 0.9 here; and
# the share of the bytes of the blocks' matrices that is left of fp32.
TOLERANCE = {"int8": (0.02, 0.27), "int4": (0.3, 0.19)}


def make_model(config=CONFIG, seed=0):
    model = Olmo3(config)
    initialise(model, seed=seed)
    return model.eval().requires_grad_(False)


def logprobs(engine):
    requests = [ScoreRequest(TEXT[:4], TEXT[4:]), ScoreRequest(TEXT[:1], TEXT[1:4])]
    scores = dict(engine.score(requests))
    return torch.tensor(scores[0].logprobs + scores[1].logprobs)


def matrix_bytes(engine):
    total = 0
    for layer in engine._setting.network.weights.layers:
        for matrix in (layer.qkv, layer.out, layer.gate_up, layer.down):
            names = getattr(matrix, "tensor_data_names", None)
            whole = matrix.numbers if isinstance(matrix, Panels) else matrix
            parts = [getattr(matrix, name) for name in names] if names else [whole]
            total += sum(part.nbytes for part in parts)
    return total


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_packed_weights_are_small_and_say_nearly_the_same(kind):
    whole, packed = NativeEngine(make_model()), NativeEngine(make_model(), quantize=kind)
    tolerance, share = TOLERANCE[kind]
    assert (logprobs(packed) - logprobs(whole)).abs().mean() < tolerance
    assert matrix_bytes(packed) < share * matrix_bytes(whole)
    [done] = packed.generate([GenerationRequest(TEXT, 20, Sampling(temperature=0))])
    assert len(done.token_ids) == 20


def test_new_weights_are_packed_too():
    other = make_model(seed=1)
    packed = NativeEngine(make_model(), quantize="int8")
    packed.update_weights(1, other.state_dict())
    assert (logprobs(packed) - logprobs(NativeEngine(other))).abs().mean() < TOLERANCE["int8"][0]


def test_what_cannot_be_packed_is_named(monkeypatch):
    with pytest.raises(UserError, match="quantize=int2: expected one of none, int8, int4"):
        NativeEngine(make_model(), quantize="int2")
    odd = replace(CONFIG, d_model=48)
    with pytest.raises(UserError, match="48 inputs found, a multiple of 32 expected"):
        NativeEngine(make_model(odd), quantize="int4")
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(UserError, match=r"needs the package torchao .* 'olmoflow\[quantize\]'"):
        NativeEngine(make_model(), quantize="int8")
