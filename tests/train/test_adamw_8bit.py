"""AdamW with 8-bit moments: torchao's numbers, skipped steps, and an exact round trip."""

import copy

import pytest
import torch
import torchao.optim
from torchao.optim.quant_utils import create_dynamic_map

from olmoflow.train import AdamW8bit, SkipStepAdamW
from olmoflow.train.adamw_8bit import levels, new_state

SETTINGS = {"lr": 3e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def parameters():
    generator = torch.Generator().manual_seed(0)
    shapes = (64, 128), (7, 5)  # the second is too small to be worth a byte
    return [torch.nn.Parameter(0.1 * torch.randn(s, generator=generator)) for s in shapes]


def train(optimizer, weights, steps, *, first=0, lr=None):
    for step in range(first, first + steps):
        for index, weight in enumerate(weights):
            generator = torch.Generator().manual_seed(100 * step + index)
            weight.grad = torch.randn(weight.shape, generator=generator) * (1 + step % 3)
        if lr is not None:
            optimizer.param_groups[0]["lr"] = lr(step)
        optimizer.step()


@pytest.mark.parametrize("signed", [True, False])
def test_the_levels_are_those_of_the_paper(signed):
    assert levels(signed, "cpu").tolist() == torch.tensor(create_dynamic_map(signed)).tolist()


def test_it_steps_as_torchaos_does():
    ours, theirs = parameters(), parameters()
    train(AdamW8bit(ours, **SETTINGS), ours, 12)
    with torch.compiler.set_stance("force_eager"):
        train(torchao.optim.AdamW8bit(theirs, **SETTINGS), theirs, 12)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)


def test_it_stays_near_the_optimizer_with_whole_moments():
    ours, theirs, start = parameters(), parameters(), parameters()
    train(AdamW8bit(ours, **SETTINGS), ours, 12)
    train(SkipStepAdamW(theirs, **SETTINGS), theirs, 12)
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-6, rtol=1e-5)
    assert (ours[0] - theirs[0]).norm() < 0.05 * (theirs[0] - start[0]).norm()


def test_its_state_takes_two_bytes_a_parameter():
    weights = parameters()
    optimizer = AdamW8bit(weights, **SETTINGS)
    train(optimizer, weights, 1)
    state = optimizer.state[weights[0]]
    taken = sum(t.numel() * t.element_size() for t in state.values())
    assert taken == 2 * 64 * 128 + 2 * 4 * 32 + 4
    fresh = new_state(weights[0])
    assert {k: (v.shape, v.dtype) for k, v in state.items()} == {
        k: (v.shape, v.dtype) for k, v in fresh.items()
    }


@pytest.mark.parametrize("bad", [float("nan"), 1e6])
def test_a_skipped_step_changes_nothing(bad):
    weights = parameters()
    optimizer = AdamW8bit(weights, **SETTINGS, window=4)
    for step in range(3):
        optimizer.observe(torch.tensor(2.0 + 0.01 * step), torch.tensor(1.0 + 0.01 * step))
        train(optimizer, weights, 1, first=step)
    before = copy.deepcopy([w.detach() for w in weights]), copy.deepcopy(dict(optimizer.state))
    optimizer.observe(torch.tensor(bad), torch.tensor(bad))
    for weight in weights:
        weight.grad = torch.full_like(weight, bad)
    optimizer.step()
    assert optimizer.step_skipped == 1
    for weight, old in zip(weights, before[0], strict=True):
        assert torch.equal(weight, old)
    for (_, now), (_, old) in zip(optimizer.state.items(), before[1].items(), strict=True):
        assert all(torch.equal(now[name], old[name]) for name in now)


def test_it_goes_on_exactly_after_a_round_trip():
    straight, cut = parameters(), parameters()
    train(AdamW8bit(straight, **SETTINGS), straight, 6)
    first = AdamW8bit(cut, **SETTINGS)
    train(first, cut, 3)
    second = AdamW8bit(cut, **SETTINGS)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.state[cut[0]]["exp_avg_codes"].dtype == torch.uint8
    train(second, cut, 3, first=3)
    assert all(torch.equal(a, b) for a, b in zip(straight, cut, strict=True))
