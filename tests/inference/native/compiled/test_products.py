"""Weights in another order give the same products, and new ones take their place."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import silu

from olmoflow.inference.engine import ScoreRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.inference.native.compiled import gated_product, product, products, reordering, tiles
from olmoflow.inference.native.panels import Panels
from olmoflow.model import Olmo3, Olmo3Config, initialise

CPU = torch.device("cpu")
CONFIG = Olmo3Config(
    vocab_size=300,
    d_model=48,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=96,
    sliding_window=24,
    max_sequence_length=320,
    init_std=0.2,
)
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 0.016}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def model(seed, dtype, config=CONFIG):
    made = Olmo3(config, compute_dtype=dtype)
    initialise(made, seed=seed)
    return made.to(dtype).eval().requires_grad_(False)


def logprobs(engine):
    [(_, score)] = engine.score([ScoreRequest([5, 9, 2], [40, 7, 1, 88, 3, 160, 217, 289])])
    return score.logprobs


@DTYPES
@pytest.mark.parametrize("rows", [1, 8, 13, 64, 200])
@pytest.mark.parametrize("outputs", [32, 80, 96])
def test_products_are_the_same(rows, outputs, dtype):
    generator = torch.Generator().manual_seed(0)
    x, matrix = (torch.randn(n, 48, generator=generator).to(dtype) for n in (rows, outputs))
    reorder = reordering(CONFIG, CPU, dtype) or (lambda weight: weight)
    found, tolerance = product(x, reorder(matrix)), TOLERANCE[dtype]
    assert found.shape == (rows, outputs)
    torch.testing.assert_close(found, x @ matrix.T, rtol=tolerance, atol=5 * tolerance)


@DTYPES
@pytest.mark.parametrize("rows", [3, 40])
def test_the_gate_comes_with_its_product(rows, dtype):
    generator = torch.Generator().manual_seed(0)
    x, matrix = (torch.randn(n, 48, generator=generator).to(dtype) for n in (rows, 192))
    panels = (reordering(CONFIG, CPU, dtype) or (lambda weight: weight))(matrix)
    if isinstance(panels, Panels):
        gate, up = (x.float() @ matrix.float().T).chunk(2, dim=-1)
        tolerance = TOLERANCE[dtype]
        found = gated_product(x, panels).float()
        torch.testing.assert_close(found, silu(gate) * up, rtol=tolerance, atol=10 * tolerance)


@DTYPES
def test_only_small_models_have_a_copy(dtype, monkeypatch):
    enough = CONFIG.num_parameters * dtype.itemsize * 8
    monkeypatch.setattr(products, "available_memory", lambda: enough - 1)
    assert reordering(CONFIG, CPU, dtype) is None
    assert reordering(CONFIG, torch.device("meta"), dtype) is None


def test_other_processors_keep_the_order_of_their_libraries(monkeypatch):
    monkeypatch.setattr(products, "has_tiles", lambda dtype: False)
    assert reordering(CONFIG, CPU, torch.float32) is None
    assert reordering(CONFIG, CPU, torch.bfloat16) is not products.to_panels
    monkeypatch.setattr(tiles.binding, "get_host_cpu_features", lambda: {"avx512f": True})
    assert tiles.has_tiles(torch.float32)
    assert not tiles.has_tiles(torch.bfloat16)


@DTYPES
def test_a_width_that_fills_no_panels(dtype):
    config = replace(CONFIG, ffn_hidden_size=80)
    reorder = reordering(config, CPU, dtype)
    assert reorder is not products.to_panels
    engine = NativeEngine(model(0, dtype, config))
    assert len(logprobs(engine)) == 8


@DTYPES
def test_new_weights_reach_every_product(dtype, monkeypatch):
    """Also the LM head's, of a vocabulary that is padded."""
    engine = NativeEngine(model(0, dtype), vocab_size=290)
    before = logprobs(engine)
    engine.update_weights(1, model(1, dtype).state_dict())
    after = logprobs(engine)
    monkeypatch.setattr(products, "available_memory", lambda: 0)
    plain = logprobs(NativeEngine(model(1, dtype), vocab_size=290))
    assert after == pytest.approx(plain, abs=0.1 if dtype == torch.bfloat16 else 1e-4)
    assert after != pytest.approx(before, abs=0.1)
