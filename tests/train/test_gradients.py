"""The step's gradient is that of the mean over all targets of the global batch, however cut up."""

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from olmoflow.train.linear_cross_entropy import IGNORE
from olmoflow.train.objectives import NextTokenPrediction


@dataclass(frozen=True)
class EvenTokensOnly(NextTokenPrediction):
    """Sequences with different numbers of targets, as packing and masks make them."""

    def masked(self, batch):
        labels = batch["labels"].clone()
        labels[labels % 2 == 1] = IGNORE
        labels[batch["input_ids"][:, 0] % 3 == 0] = IGNORE
        return {**batch, "labels": labels}

    def count(self, batch):
        return super().count(self.masked(batch))

    def prepare(self, batch):
        return super().prepare(self.masked(batch))

    def __call__(self, model, batch):
        return super().__call__(model, self.masked(batch))


class Keep(torch.optim.SGD):
    """Leaves the weights and the gradient for the test."""

    def __init__(self, groups):
        super().__init__(groups, lr=0.0)

    def zero_grad(self, set_to_none=True):
        pass


def run(experiment, micro):
    done = experiment(
        f"micro{micro}",
        micro=micro,
        max_steps=1,
        objective=EvenTokensOnly(),
        optimizer=Keep,
        max_grad_norm=None,
    )
    model = done.module.model
    return model, {name: p.grad for name, p in model.named_parameters()}


def test_accumulated_gradients_equal_the_big_batch(experiment):
    _, whole = run(experiment, 8)
    for micro in (4, 2, 1):
        _, parts = run(experiment, micro)
        for name, gradient in whole.items():
            error = (parts[name] - gradient).abs().max() / gradient.abs().max()
            assert error <= 1e-6, (micro, name, error)


def test_it_is_the_gradient_of_the_mean_over_targets(experiment):
    seen = []

    @dataclass(frozen=True)
    class Recorded(EvenTokensOnly):
        def __call__(self, model, batch):
            seen.append(self.masked(batch))
            return super().__call__(model, batch)

    done = experiment(
        micro=2, max_steps=1, objective=Recorded(z_loss=0.0), optimizer=Keep, max_grad_norm=None
    )
    model = done.module.model
    ids = torch.cat([b["input_ids"] for b in seen])
    labels = torch.cat([b["labels"] for b in seen])
    assert len({int((row != IGNORE).sum()) for row in labels}) > 2
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    cross_entropy(model(ids).flatten(0, 1), labels.flatten(), ignore_index=IGNORE).backward()
    for name, parameter in model.named_parameters():
        error = (ours[name] - parameter.grad).abs().max() / parameter.grad.abs().max()
        assert error <= 2e-6, (name, error)
