"""A decoding step as one function says what its parts say one by one."""

from dataclasses import replace

import pytest
import torch

from olmoflow.inference.native.attention import SlabRows
from olmoflow.inference.native.compiled import products, reordering
from olmoflow.inference.native.network import Network
from olmoflow.inference.native.slab import Slab
from olmoflow.inference.native.weights import Weights
from olmoflow.model import Olmo3, Olmo3Config, YaRN, initialise

CPU = torch.device("cpu")
CONFIG = Olmo3Config(
    vocab_size=300,
    d_model=48,
    n_layers=4,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=96,
    sliding_window=24,
    max_sequence_length=320,
    init_std=0.1,
    yarn=YaRN(factor=4.0, original_max_position=80),
)
POSITIONS = {1: [0], 9: [0, 5, 23, 24, 60, 63, 127, 31, 90]}
POSITIONS[50] = [*POSITIONS[9], *range(3, 126, 3)]  # shares of threads, the last a small one
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.15}


@pytest.fixture(params=[1, 2, 3], autouse=True)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def network(config, dtype):
    model = Olmo3(config, compute_dtype=dtype)
    initialise(model, seed=1)
    model.to(dtype).eval().requires_grad_(False)
    weights = Weights(model, CPU, reordering(config, CPU, dtype))
    for layer in weights.layers:
        for norm in (layer.q_norm, layer.k_norm, layer.attention_norm, layer.feed_forward_norm):
            norm.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(norm)))
    return Network(weights, model.window_rope, model.full_rope)


def slabs(config, dtype, batch):
    """Two slabs with the same numbers each time."""
    generator = torch.Generator().manual_seed(3)
    counts = [batch] if batch == 1 else [6, batch - 6]
    parts = list[SlabRows]()
    for capacity, count in zip((64, 128), counts, strict=False):
        slab = Slab(config, capacity, CPU, dtype)
        slab.resize(count + 1)
        for layer in slab.layers:
            layer.copy_(torch.randn(layer.shape, generator=generator))
        parts.append(SlabRows(slab, sum(part.count for part in parts), count))
    return parts


@torch.inference_mode()
@pytest.mark.parametrize("batch", POSITIONS)
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_before_and_behind_the_window(dtype, kv_heads, batch, monkeypatch):
    config = replace(CONFIG, n_kv_heads=kv_heads)
    positions = torch.tensor(POSITIONS[batch])
    ids = torch.arange(batch) * 5 + 3
    ours, mine = network(config, dtype), slabs(config, dtype, batch)
    monkeypatch.setattr(products, "available_memory", lambda: 0)
    theirs, other = network(config, dtype), slabs(config, dtype, batch)
    tolerance = TOLERANCE[dtype]
    for _ in range(2):  # what the first leaves behind serves the second
        found = ours.next_logits(mine, ids, positions, 290)
        expected = theirs.next_logits(other, ids, positions, 290)
        assert found.shape == (batch, 290)
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
        for one, two in zip(mine, other, strict=True):
            for layer, copy in zip(one.slab.layers, two.slab.layers, strict=True):
                torch.testing.assert_close(layer, copy, rtol=tolerance, atol=tolerance)
        positions = positions + 1


@torch.inference_mode()
def test_what_else_is_in_the_batch_changes_nothing():
    config, dtype = CONFIG, torch.bfloat16
    ids, positions = torch.arange(9) + 3, torch.tensor(POSITIONS[9])
    together, alone = slabs(config, dtype, 9), slabs(config, dtype, 9)[:1]
    net = network(config, dtype)
    if net.compiled and reordering(config, CPU, dtype) is products.to_panels:
        found = net.next_logits(together, ids, positions, 300)[:6]
        assert torch.equal(found, net.next_logits(alone, ids[:6], positions[:6], 300))
