"""The compiled loops compute what PyTorch does, whatever the dtype and the number of threads."""

from dataclasses import replace

import pytest
import torch

from olmoflow.inference.native.attention import DecodeAttention, SlabRows
from olmoflow.inference.native.compiled import CompiledDecodeAttention, CompiledRows, sample
from olmoflow.inference.native.rows import TorchRows
from olmoflow.inference.native.slab import Slab
from olmoflow.inference.native.weights import Weights
from olmoflow.inference.sampling import SamplingRows, choose
from olmoflow.model import Olmo3, Olmo3Config, YaRN, initialise

CONFIG = Olmo3Config(
    vocab_size=300,
    d_model=48,
    n_layers=4,
    n_heads=4,
    n_kv_heads=2,
    ffn_hidden_size=80,
    sliding_window=24,
    max_sequence_length=320,
    yarn=YaRN(factor=4.0, original_max_position=80),
)
TOKENS = 67
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 0.03}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture(params=[1, 2], autouse=True)
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def assert_same(ours, theirs):
    assert ours.dtype == theirs.dtype
    tolerance = TOLERANCE[ours.dtype]
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


@DTYPES
def test_operations_on_rows(dtype, generator):
    model = Olmo3(CONFIG, compute_dtype=dtype)
    initialise(model, seed=1)
    tables = [rope(0, 320, torch.device("cpu")) for rope in (model.window_rope, model.full_rope)]
    layer = Weights(model, torch.device("cpu")).layers[0]
    for norm in (layer.q_norm, layer.k_norm, layer.attention_norm):
        norm.uniform_(0.5, 2, generator=generator)
    ours, theirs = CompiledRows(CONFIG, *tables), TorchRows(CONFIG, *tables)

    def draw(width):
        return torch.randn(TOKENS, width, generator=generator).mul(3).to(dtype)

    positions = torch.randint(320, (TOKENS,), generator=generator)
    x, y, qkv, gate_up = draw(48), draw(48), draw(96), draw(160)
    for number in (0, 3):  # a window layer, and one with YaRN
        expected = theirs.turn(positions)(number, layer, qkv)
        for found, wanted in zip(
            ours.turn(positions)(number, layer, qkv.clone()), expected, strict=True
        ):
            assert_same(found, wanted)
    assert_same(ours.gate(gate_up), theirs.gate(gate_up))
    expected = theirs.add_normed(x, y, layer.attention_norm)
    assert_same(ours.add_normed(x, y, layer.attention_norm), expected)


@DTYPES
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_attention_before_and_behind_the_window(dtype, kv_heads, generator):
    config = replace(CONFIG, n_kv_heads=kv_heads)
    slabs = [Slab(config, capacity, torch.device("cpu"), dtype) for capacity in (64, 128)]
    copies = [Slab(config, capacity, torch.device("cpu"), dtype) for capacity in (64, 128)]
    for slab, copy in zip(slabs, copies, strict=True):
        slab.resize(5)
        for layer in slab.layers:
            layer.copy_(torch.randn(layer.shape, generator=generator))
        copy.layers = [layer.clone() for layer in slab.layers]
    positions = torch.tensor([0, 5, 23, 24, 60, 63, 127])
    heads = (4, kv_heads, kv_heads)
    qkv = torch.randn(7, sum(heads), 12, generator=generator).to(dtype)
    for layer in (0, 3):
        found, expected = (
            kind(config, [SlabRows(of[0], 0, 4), SlabRows(of[1], 4, 3)], positions)(
                layer, *torch.split(qkv, heads, dim=1)
            )
            for kind, of in ((CompiledDecodeAttention, slabs), (DecodeAttention, copies))
        )
        assert_same(found, expected)
        for slab, copy in zip(slabs, copies, strict=True):
            assert torch.equal(slab.layers[layer], copy.layers[layer])


@DTYPES
def test_sampling_draws_the_same_tokens(dtype, generator):
    logits = torch.randn(200, 300, generator=generator).mul(4).to(dtype)
    logits[:, 100:140] = -torch.inf
    uniforms = torch.rand(200, generator=generator)
    uniforms[:3] = torch.tensor([0.0, 1 - 2**-23, 0.5])
    temperature = torch.tensor([0.0, 0.5, 1.0, 2.0]).repeat(50)
    for each in (temperature, torch.ones(200), None):
        rows = SamplingRows(each, all_at_one=each is not None and bool((each == 1).all()))
        expected, expected_logprobs = choose(logits.float(), rows, uniforms)
        tokens, logprobs = sample(logits, each, uniforms)
        # Where the uniform lies within rounding of the border of two tokens either is right.
        same = torch.from_numpy(tokens) == expected
        assert same.sum() >= 199
        assert torch.from_numpy(logprobs).isfinite().all()
        torch.testing.assert_close(
            torch.from_numpy(logprobs)[same], expected_logprobs[same], rtol=0, atol=1e-5
        )


def test_of_equal_logits_the_first_is_the_likeliest():
    logits = torch.zeros(3, 300)
    logits[1, [7, 200]] = 2.0
    tokens, logprobs = sample(logits - 5, None, torch.zeros(3))
    assert tokens.tolist() == [0, 7, 0]
    assert logprobs[0] == pytest.approx(-torch.tensor(300.0).log().item(), abs=1e-6)
