"""What sharding must not change."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.sharding import shard

CONFIG = Olmo3Config(
    vocab_size=64,
    d_model=32,
    n_layers=4,
    n_heads=2,
    n_kv_heads=1,
    ffn_hidden_size=64,
    sliding_window=100,
    max_sequence_length=2048,
)


def make_model(dtype):
    model = Olmo3(CONFIG, compute_dtype=dtype)
    initialise(model, seed=0)
    return model


@pytest.fixture
def mesh(tmp_path):
    """A mesh of this process alone: sharded in form, and whole."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1, 1), mesh_dim_names=("replicate", "shard"))
    dist.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_those_of_the_unsharded_model(mesh, dtype):
    """Far into the sequence: positions rounded to bf16 would show."""
    tokens = torch.randint(64, (1, 2048), generator=torch.Generator().manual_seed(0))
    expected = make_model(dtype)(tokens)
    model = make_model(dtype)
    shard(model, mesh, dtype)
    torch.testing.assert_close(model(tokens), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "checkpointing",
    [
        ActivationCheckpointing("full"),
        ActivationCheckpointing("modules", ["blocks.*.feed_forward"]),
    ],
    ids=lambda c: c.mode,
)
def test_recomputed_activations_change_names_and_gradients_of_nothing(checkpointing):
    tokens = torch.randint(64, (2, 128), generator=torch.Generator().manual_seed(0))
    plain, model = make_model(torch.float32), make_model(torch.float32)
    kept = {}
    for each in (plain, model):
        sizes = []
        if each is model:
            checkpointing.apply(model)
        count = torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: (sizes.append(t.numel()), t)[1], lambda t: t
        )
        with count:
            loss = each(tokens).square().mean()
        kept[each is model] = sum(sizes)
        loss.backward()
    assert kept[True] < 0.8 * kept[False]
    ours, expected = dict(model.named_parameters()), dict(plain.named_parameters())
    assert ours.keys() == expected.keys()
    for name, parameter in expected.items():
        torch.testing.assert_close(ours[name].grad, parameter.grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "some"}, "mode=some: expected one of none, full, modules, budget"),
        ({"mode": "modules"}, r"modules=\[\]: expected patterns"),
        ({"mode": "full", "budget": 0.5}, "budget=0.5: expected a number"),
        ({"mode": "budget", "budget": 1.5}, "budget=1.5: expected a number from 0 to 1"),
        ({"mode": "modules", "modules": ["blocks.*.mlp"]}, "no module is named blocks"),
        ({"mode": "budget", "budget": 0.5}, "expected compile=true"),
    ],
)
def test_settings_that_do_not_fit_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        ActivationCheckpointing(**settings).check(make_model(torch.float32), compiled=False)
