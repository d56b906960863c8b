"""Adapters on the tiny twin: only they are trained and saved, and they fold back in."""

from types import SimpleNamespace

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.checkpoint import Checkpoint, CheckpointWriter, write_checkpoint
from olmoflow.train.adapters import LoRA, adapters_off, attach, fill, folded

SHAPE = {"vocab_size": 512, "d_model": 64, "n_layers": 2, "n_heads": 2, "n_kv_heads": 1}
CONFIG = Olmo3Config(**SHAPE, ffn_hidden_size=128, sliding_window=16, max_sequence_length=64)
IDS = torch.arange(2 * 24).reshape(2, 24) * 7 % 512


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A checkpoint of a model with its initial weights, norms moved away from 1."""
    model = Olmo3(CONFIG)
    initialise(model, seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.linspace(-0.3, 0.3, len(parameter)))
    series = tmp_path_factory.mktemp("base")
    checkpoint = write_checkpoint(series, CONFIG, model.state_dict().items())
    return SimpleNamespace(model=model, checkpoint=checkpoint)


def adapted(base, settings, *, moved=True, dtype=torch.float32):
    """The base with adapters, which are away from their beginning if they have moved."""
    with torch.device("meta"):
        model = Olmo3(CONFIG, compute_dtype=dtype)
        attach(model, settings)
    fill(model, base.checkpoint, torch.device("cpu"), seed=1)
    if moved:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("lora_b"):
                    wave = torch.linspace(0, 9, parameter.numel()).sin()
                    parameter.copy_(0.05 * wave.view_as(parameter))
    return model


def test_a_model_with_new_adapters_computes_what_its_base_does(base):
    model = adapted(base, LoRA(rank=4, base="float32"), moved=False)
    assert torch.equal(model(IDS), base.model(IDS))


def test_adapters_change_the_model_and_can_be_turned_off(base):
    model = adapted(base, LoRA(rank=4, base="float32"))
    assert not torch.allclose(model(IDS), base.model(IDS), atol=1e-2)
    with adapters_off(model):
        assert torch.equal(model(IDS), base.model(IDS))
    assert not torch.allclose(model(IDS), base.model(IDS), atol=1e-2)


@pytest.mark.parametrize("kept", ["float32", "bfloat16", "nf4"])
@pytest.mark.parametrize("offload", [False, True], ids=["", "offload"])
def test_folded_adapters_give_a_plain_model_with_the_same_logits(base, kept, offload):
    settings = LoRA(rank=4, base=kept, offload=offload)
    model = adapted(base, settings)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    plain = Olmo3(CONFIG)
    with torch.no_grad():
        for name, tensor in folded(base.checkpoint, trained, settings):
            plain.get_parameter(name).copy_(tensor)
    torch.testing.assert_close(plain(IDS), model(IDS), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kept", ["bfloat16", "nf4"])
def test_what_is_to_stay_in_main_memory_stays_there(base, kept):
    """Lightning moves the whole model to its device once more; here any other device will do."""
    model = adapted(base, LoRA(rank=4, base=kept, offload=True)).to("meta")
    places = {name: parameter.device.type for name, parameter in model.named_parameters()}
    stayed = {name for name, place in places.items() if place == "cpu"}
    assert stayed == {name for name in places if ".frozen." in name}
    moved = adapted(base, LoRA(rank=4, base=kept)).to("meta")
    assert {parameter.device.type for parameter in moved.parameters()} == {"meta"}


@pytest.mark.parametrize("kept", ["float32", "nf4"])
def test_the_gradients_are_those_of_the_plain_product(base, kept):
    settings = LoRA(rank=4, base=kept, offload=True)
    model = adapted(base, settings)
    layer = model.blocks[0].feed_forward.down_proj
    x = torch.randn(3, 5, 128, generator=torch.Generator().manual_seed(0))
    found = _gradients(lambda x: layer(x), x, layer)
    dense = layer.frozen.dense(torch.float32)

    def plain(x):
        return x @ (dense + settings.scale * layer.lora_b @ layer.lora_a).T

    for ours, theirs in zip(found, _gradients(plain, x, layer), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


def _gradients(function, x, layer):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x).square().sum(), (x, layer.lora_a, layer.lora_b))


def test_only_the_adapters_are_trained_and_saved(base, tmp_path):
    model = adapted(base, LoRA(rank=4))
    trained = {n: p.clone() for n, p in model.named_parameters() if p.requires_grad}
    assert {name.rpartition(".")[2] for name in trained} == {"lora_a", "lora_b"}
    assert len(trained) == 2 * 7 * CONFIG.n_layers
    CheckpointWriter(tmp_path).save(5, model, None, CONFIG, None, {"settings": {}})
    saved = Checkpoint.open(tmp_path / "steps" / "step-00000005")
    assert set(saved.tensor_names()) == set(trained)
    assert saved.adapter == {"settings": {}}
    again = adapted(base, LoRA(rank=4), moved=False)
    saved.load_model(again)
    assert torch.equal(again(IDS), model(IDS))


def test_the_frozen_rest_is_kept_as_asked(base):
    model = adapted(base, LoRA(rank=4, base="nf4"))
    kept = {name: p.dtype for name, p in model.named_parameters() if not p.requires_grad}
    assert kept["embeddings.weight"] == kept["lm_head.weight"] == torch.bfloat16
    assert kept["blocks.0.attention_norm.weight"] == torch.float32
    assert kept["blocks.0.attention.q_proj.frozen.codes"] == torch.uint8
    codes = model.blocks[0].attention.q_proj.frozen
    bits = 8 * sum(p.numel() * p.element_size() for p in codes.parameters()) / (64 * 64)
    assert bits == 4.25


def test_where_the_adapters_begin_depends_on_seed_and_name_only(base):
    one, two = (adapted(base, LoRA(rank=4, targets=t), moved=False) for t in TARGETS)
    name = "blocks.1.attention.v_proj.lora_a"
    assert torch.equal(one.get_parameter(name), two.get_parameter(name))
    assert one.get_parameter(name).abs().max() <= 1 / 8  # 1 / √64


TARGETS = (["blocks.*.attention.*_proj"], ["blocks.1.attention.v_proj"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "adapter.rank=0: expected a positive whole number"),
        ({"base": "int4"}, "adapter.base=int4: expected one of float32, bfloat16, nf4"),
        ({"targets": []}, "adapter.targets=[]"),
        ({"targets": ["blocks.*.mlp"]}, "adapter.targets: no layer is named blocks.*.mlp"),
        ({"targets": ["*"]}, "adapter.targets: lm_head found"),
        ({"dropout": 1.0}, "adapter.dropout=1.0"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(UserError) as error, torch.device("meta"):
        attach(Olmo3(CONFIG), LoRA(**settings))
    assert str(error.value).startswith(message)


def test_a_base_of_another_shape_is_named(base):
    with torch.device("meta"):
        model = Olmo3(Olmo3Config(**{**SHAPE, "d_model": 128}, ffn_hidden_size=128))
        attach(model, LoRA())
    with pytest.raises(UserError, match=r"k_norm\.weight' is \[32\]; the model expects \[64\]"):
        fill(model, base.checkpoint, torch.device("cpu"), seed=0)


@pytest.mark.parametrize(
    "settings", [LoRA(rank=4, base="nf4"), LoRA(rank=4, offload=True)], ids=["nf4", "offload"]
)
def test_a_compiled_block_computes_the_same(base, settings):
    model = adapted(base, settings)
    expected = _weights(model, model(IDS).square().sum())
    for block in model.blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    found = _weights(model, model(IDS).square().sum())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def _weights(model, loss):
    return torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
