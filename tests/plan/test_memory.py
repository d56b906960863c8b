"""Memory by the real model on tensors without data: exact where it can be known exactly."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3, initialise
from olmoflow.plan.calibration import ROWS
from olmoflow.plan.memory import fake_ranks, step_memory, trace, trace_depths
from olmoflow.train.activation_checkpointing import ActivationCheckpointing
from olmoflow.train.sharding import shard

FEED_FORWARD = ActivationCheckpointing("modules", ("blocks.*.feed_forward",))


@pytest.fixture(scope="module")
def midtrain_7b():
    """Olmo 3 7B's second stage on 16 × 8 GPUs: 2 sequences at once, feed-forward computed twice."""
    row = next(row for row in ROWS if row.name == "7B midtrain")
    return row, trace(row.job)


def test_the_7b_takes_what_its_parameters_say_and_fits_where_it_was_trained(midtrain_7b):
    row, traced = midtrain_7b
    parameters = row.job.model.num_parameters
    assert parameters == 7_298_617_344
    assert traced.peak["parameters"] == parameters * 4 / 8
    assert traced.peak["optimizer"] == parameters * 8 / 8
    assert sum(traced.peak.values()) / 2**30 + 4 < 79.6


def test_the_calibration_uses_what_the_trace_says(midtrain_7b):
    row, traced = midtrain_7b
    per_token = traced.matmul_flops / row.job.rank_tokens
    assert per_token == pytest.approx(row.executed.matmul_flops_per_token, rel=1e-3)


@pytest.mark.parametrize(
    ("mesh", "compiled", "how"),
    [
        (Mesh(2, 4), False, ActivationCheckpointing()),
        (Mesh(), False, ActivationCheckpointing("full")),
        (Mesh(), True, ActivationCheckpointing()),
    ],
)
def test_two_shallow_models_tell_of_a_deep_one(make_job, mesh, compiled, how):
    job = make_job({"n_layers": 12}, mesh, compiled=compiled, checkpointing=how)
    carried, whole = trace(job), trace_depths(job, [12])[0]
    assert carried.spans == whole.spans
    assert carried.matmul_flops == whole.matmul_flops


@pytest.mark.parametrize("mesh", [Mesh(), Mesh(2, 4)], ids=["one rank", "2 × 4"])
def test_tensors_without_data_take_what_real_ones_take(make_job, mesh):
    job = make_job(mesh=mesh, compute_bytes=4)
    found = []
    for fake in (FakeTensorMode(), None):
        with fake_ranks(mesh) as (devices, _), fake or torch.device("cpu"):
            model = Olmo3(job.model)
            if devices is not None:
                shard(model, devices, torch.float32)
            if fake is None:
                initialise(model, seed=0)
            found.append(step_memory(model, job, fake))
    assert found[0] == found[1]
    assert found[0].peak["parameters"] == job.model.num_parameters * 4 / mesh.sharded
    assert found[0].peak["activations"] > 0


def test_each_way_of_computing_twice_keeps_less(make_job):
    def activations(compiled, how):
        job = make_job(compiled=compiled, checkpointing=how)
        return trace(job).spans[0]["activations"]

    assert activations(False, ActivationCheckpointing("full")) < activations(False, FEED_FORWARD)
    ways = ActivationCheckpointing("budget", budget=0.2), FEED_FORWARD, ActivationCheckpointing()
    compiled = [activations(True, how) for how in ways]
    assert compiled == sorted(compiled)
    assert compiled[-1] < activations(False, ActivationCheckpointing())


def test_sharing_sequences_divides_the_tokens_but_not_the_gathered_keys(make_job):
    whole = trace(make_job(mesh=Mesh(2, 4)))
    split = trace(make_job(mesh=Mesh(2, 2, 2)))
    ratio = split.spans[0]["activations"] / whole.spans[0]["activations"]
    assert 0.5 < ratio < 0.9
    assert split.matmul_flops == whole.matmul_flops / 2


def test_a_pattern_that_matches_nothing_is_an_error(make_job):
    how = ActivationCheckpointing("modules", ("blocks.*.mlp",))
    with pytest.raises(UserError, match="modules: no module is named"):
        trace(make_job(checkpointing=how))


@pytest.mark.parametrize(("preferences", "products"), [(False, 3), (True, 4)])
def test_the_head_computes_targets_only(make_job, preferences, products):
    kind = {"mesh": Mesh(), "logits_twice": preferences}
    whole, few = (trace(make_job(target_share=share, **kind)) for share in (1.0, 0.25))
    tokens = make_job(**kind).rank_tokens
    per_token = 2 * 512 * 64 * products
    assert whole.matmul_flops - few.matmul_flops == 0.75 * tokens * per_token
    assert sum(few.peak.values()) < sum(whole.peak.values())
