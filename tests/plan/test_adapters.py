"""Plans of adapters: the same bytes as the real model and the real optimizer; 7B fits."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3
from olmoflow.plan.memory import step_memory, trace, trace_depths
from olmoflow.train import AdamW8bit, SkipStepAdamW
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.adapters import LoRA, attach
from olmoflow.train.optimizer import parameter_groups

FULL = ActivationCheckpointing("full")
KINDS = [
    LoRA(base="bfloat16"),
    LoRA(base="nf4"),
    LoRA(base="nf4", offload=True),
    LoRA(base="bfloat16", offload=True, targets=["blocks.*.feed_forward.*"]),
]


def model_of(job):
    model = Olmo3(job.model)
    attach(model, job.adapter)
    job.checkpointing.apply(model)
    return model


@pytest.mark.parametrize("adapter", KINDS, ids=["lora", "qlora", "qlora offload", "lora offload"])
def test_tensors_without_data_take_what_real_ones_take(make_job, adapter):
    job = make_job(
        mesh=Mesh(),
        compute_bytes=4,
        adapter=adapter,
        optimizer="adamw_8bit",
        checkpointing=FULL,
    )
    found = []
    for fake in (FakeTensorMode(), None):
        with fake or torch.device("cpu"):
            found.append(step_memory(model_of(job), job, fake))
    assert found[0] == found[1]
    assert found[0].trained < 0.5 * job.model.num_parameters


def test_what_the_frozen_model_takes(make_job):
    def parameters(**settings):
        job = make_job(mesh=Mesh(), adapter=LoRA(**settings))
        return trace(job).spans[0]["parameters"]

    with torch.device("meta"):
        model = Olmo3(make_job().model)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    adapted = sum(size for name, size in sizes.items() if "_proj" in name)
    norms = sum(size for name, size in sizes.items() if "norm" in name)
    trained = trace(make_job(mesh=Mesh(), adapter=LoRA())).trained
    rest = 4 * (norms + trained) + 2 * (sum(sizes.values()) - adapted - norms)
    assert parameters() == rest + 2 * adapted
    assert parameters(base="nf4") == rest + 4.25 / 8 * adapted
    assert parameters(base="nf4", offload=True) == rest


@pytest.mark.parametrize(
    ("kind", "made"), [("adamw", SkipStepAdamW), ("adamw_8bit", AdamW8bit)], ids=["32", "8 bits"]
)
def test_the_moments_take_what_the_optimizer_makes(make_job, kind, made):
    job = make_job({"d_model": 512}, mesh=Mesh(), adapter=LoRA(rank=8), optimizer=kind)
    model = model_of(job)
    optimizer = made(parameter_groups(model), lr=1e-3)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            torch.nn.init.zeros_(parameter)
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    taken = sum(
        tensor.numel() * tensor.element_size()
        for state in optimizer.state.values()
        for name, tensor in state.items()
        if name != "step"
    )
    assert trace(job).peak["optimizer"] == taken


def test_two_shallow_models_tell_of_a_deep_one(make_job):
    job = make_job({"n_layers": 12}, Mesh(), adapter=LoRA(base="nf4"), checkpointing=FULL)
    carried, whole = trace(job), trace_depths(job, [12])[0]
    assert carried.spans == whole.spans
    assert carried.trained == whole.trained


def test_a_frozen_lm_head_has_no_gradient(make_job):
    job = make_job(mesh=Mesh(), adapter=LoRA(rank=1))
    assert trace(job).peak["gradients"] <= 4 * trace(job).trained


def test_what_a_plan_of_adapters_cannot_be(make_job):
    with pytest.raises(UserError, match="adapter: 8 GPUs found; expected one"):
        make_job(adapter=LoRA())
    with pytest.raises(UserError, match="a plan of adapters expects compile=false"):
        make_job(mesh=Mesh(), adapter=LoRA(), compiled=True)
    with pytest.raises(UserError, match="optimizer=adamw_8bit: 8 GPUs found"):
        make_job(optimizer="adamw_8bit")
