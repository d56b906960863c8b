"""SkipStepAdamW against its published rule in numpy, and what it leaves alone."""

import copy

import numpy as np
import pytest
import torch

from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.train.optimizer import SkipStepAdamW, parameter_groups


def skipped(losses, norms, window=128, sigma=6.0):
    """Which steps sit out, straight from the rule."""
    out = []
    for step in range(len(losses)):
        far = False
        for row in (losses, norms):
            past = np.array(row[max(0, step - window) : step])
            if step >= window // 2:
                far |= row[step] - past.mean() > sigma * past.std(ddof=1)
        out.append(far)
    return out


def test_the_same_steps_as_the_rule_are_skipped():
    random = np.random.default_rng(0)
    losses = 3 + 0.1 * random.standard_normal(400)
    norms = 1 + 0.05 * random.standard_normal(400)
    losses[[30, 63, 64, 200, 201, 320]] = 9.0
    norms[[50, 150, 151, 390]] = 7.0
    losses[250] = -50.0  # far below is no reason
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = SkipStepAdamW([parameter], lr=0.1)
    found = []
    for loss, norm in zip(losses, norms, strict=True):
        before = parameter.detach().clone()
        parameter.grad = torch.ones(3)
        optimizer.observe(torch.tensor(loss), torch.tensor(norm))
        optimizer.step()
        found.append(torch.equal(before, parameter))
    expected = skipped(losses, norms)
    assert found == expected
    assert sum(expected) >= 5


def test_a_skipped_step_leaves_weights_moments_and_step_count():
    parameter = torch.nn.Parameter(torch.randn(8))
    optimizer = SkipStepAdamW([parameter], lr=0.1, weight_decay=0.5)
    for number in range(70):
        parameter.grad = torch.randn(8)
        optimizer.observe(torch.tensor(2.0 + 0.01 * (number % 3)), torch.tensor(1.0))
        optimizer.step()
    weights = parameter.detach().clone()
    state = copy.deepcopy(optimizer.state[parameter])
    optimizer.observe(torch.tensor(50.0), torch.tensor(1.0))
    parameter.grad = torch.randn(8)
    optimizer.step()
    assert optimizer.step_skipped == 1
    assert torch.equal(parameter, weights)
    for name, value in state.items():
        assert torch.equal(optimizer.state[parameter][name], value), name


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_skipped_and_forgotten(value):
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = SkipStepAdamW([parameter], lr=0.1)
    for number in range(80):
        parameter.grad = torch.ones(2)
        bad = number in (0, 10)
        before = parameter.detach().clone()
        optimizer.observe(torch.tensor(value if bad else 2 + 0.1 * (number % 2)), torch.tensor(1.0))
        optimizer.step()
        assert torch.equal(before, parameter) == bad
    assert torch.isfinite(parameter).all()


def test_the_history_survives_a_state_dict():
    def step(optimizer, parameter, loss):
        parameter.grad = torch.ones(2)
        optimizer.observe(torch.tensor(loss), torch.tensor(1.0))
        optimizer.step()

    first = torch.nn.Parameter(torch.ones(2))
    optimizer = SkipStepAdamW([first], lr=0.1)
    for number in range(90):
        step(optimizer, first, 2.0 + 0.01 * (number % 2))
    second = torch.nn.Parameter(first.detach().clone())
    other = SkipStepAdamW([second], lr=0.1)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for loss in (2.0, 9.0, 2.0):
        step(optimizer, first, loss)
        step(other, second, loss)
        assert optimizer.step_skipped == other.step_skipped
        assert torch.equal(first, second)


def test_only_the_input_embedding_is_not_decayed():
    with torch.device("meta"):
        model = Olmo3(Olmo3Config(64, 32, 4, 2, 2, 64))
    decayed, not_decayed = parameter_groups(model)
    assert [id(p) for p in not_decayed["params"]] == [id(model.embeddings.weight)]
    assert not_decayed["weight_decay"] == 0
    assert len(decayed["params"]) + 1 == len(list(model.parameters()))
