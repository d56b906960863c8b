"""What the loss is a mean over, where the ranks have different numbers of targets."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from olmoflow.model import Olmo3, initialise
from olmoflow.model.checkpoint import list_steps

sys.path.insert(0, str(Path(__file__).parent))

from normalisation import CONFIG, RATE, SEED, FewTargets, data_of

CASES = ["global:2,1,1", "global:1,2,1", "per_rank:2,1,1", "per_rank:1,2,1", "per_rank:1,1,2"]


def start():
    with torch.device("meta"):
        model = Olmo3(CONFIG)
    initialise(model, SEED, torch.device("cpu"))
    return model


def sums(model, shards, rank, world):
    """The losses of a rank's share of the first step, summed, and its number of targets."""
    objective = FewTargets(z_loss=0.0, chunk_tokens=48)
    batches = next(iter(data_of(shards).loader(rank, world, 0)))
    losses = torch.stack([objective(model, batch).loss_sum for batch in batches])
    return losses.sum(), sum(objective.count(batch) for batch in batches)


def expected(shards, normalisation, data_ranks):
    """The weights after one step in one process, straight from the definition."""
    model = start()
    shares = [sums(model, shards, rank, data_ranks) for rank in range(data_ranks)]
    counts = [count for _, count in shares]
    assert len(set(counts)) == data_ranks
    if normalisation == "global":
        loss = torch.stack([total for total, _ in shares]).sum() / sum(counts)
    else:
        loss = torch.stack([total / count for total, count in shares]).mean()
    loss.backward()
    return {name: p.detach() - RATE * p.grad for name, p in model.named_parameters()}


@pytest.fixture(scope="module")
def runs(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    script = Path(__file__).with_name("normalisation.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    subprocess.run([*command, script, shards, folder, *CASES], check=True)
    return folder


@pytest.mark.distributed
@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_mean_that_was_chosen(runs, shards, case):
    normalisation, _, shape = case.partition(":")
    replicate, shard, _ = map(int, shape.split(","))
    (step,) = list_steps(runs / case)
    model = Olmo3(step.config)
    step.load_model(model)
    wanted = expected(shards, normalisation, replicate * shard)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter, wanted[name], rtol=0, atol=2e-6, msg=name)


def test_the_two_means_differ_here(shards):
    one, other = (expected(shards, n, 2) for n in ("global", "per_rank"))
    apart = max(float((one[name] - other[name]).abs().max()) for name in one)
    assert apart > 1e-4
