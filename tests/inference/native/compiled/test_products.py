"""Weights in oneDNN's order give the same products, and new ones take their place."""

import pytest
import torch

from olmoflow.inference.engine import ScoreRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.inference.native.compiled import product, products, reordering
from olmoflow.model import Olmo3, Olmo3Config, initialise

CPU = torch.device("cpu")
CONFIG = Olmo3Config(
    vocab_size=300,
    d_model=48,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=80,
    sliding_window=24,
    max_sequence_length=320,
    init_std=0.2,
)


def model(seed):
    made = Olmo3(CONFIG, compute_dtype=torch.bfloat16)
    initialise(made, seed=seed)
    return made.to(torch.bfloat16).eval().requires_grad_(False)


def logprobs(engine):
    [(_, score)] = engine.score([ScoreRequest([5, 9, 2], [40, 7, 1, 88, 3, 160, 217, 289])])
    return score.logprobs


@pytest.mark.parametrize("rows", [1, 64, 200])
def test_products_are_the_same(rows):
    generator = torch.Generator().manual_seed(0)
    x, matrix = (torch.randn(n, 48, generator=generator).bfloat16() for n in (rows, 80))
    reorder = reordering(CONFIG, CPU, torch.bfloat16) or (lambda weight: weight)
    torch.testing.assert_close(product(x, reorder(matrix)), x @ matrix.T)


def test_only_small_models_in_bf16_have_a_copy(monkeypatch):
    assert reordering(CONFIG, CPU, torch.float32) is None
    monkeypatch.setattr(products, "available_memory", lambda: CONFIG.num_parameters * 15)
    assert reordering(CONFIG, CPU, torch.bfloat16) is None


def test_new_weights_reach_every_product(monkeypatch):
    """Also the LM head's, of a vocabulary that is padded."""
    engine = NativeEngine(model(0), vocab_size=290)
    before = logprobs(engine)
    engine.update_weights(1, model(1).state_dict())
    after = logprobs(engine)
    monkeypatch.setattr(products, "available_memory", lambda: 0)
    plain = logprobs(NativeEngine(model(1), vocab_size=290))
    assert after == pytest.approx(plain, abs=0.1)
    assert after != pytest.approx(before, abs=0.1)
