"""Evaluation never takes more than its share, whatever it turns out to cost."""

import random

import pytest

from olmoflow.evaluate.in_loop.share import Share


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.5])
def test_the_share_holds_at_every_moment(limit):
    draw, share, clock = random.Random(0), Share(limit), 0.0
    evaluated = 0
    for _ in range(2000):
        clock += draw.uniform(0.5, 2.0)  # training
        cost = 3.0
        if share.allows(cost, clock):
            clock += cost
            share.spend(cost)
            evaluated += 1
        assert share.spent <= limit * clock + 1e-9
    # And it is used: what is left over would not pay for another one.
    assert share.spent + 3.0 > limit * (clock - 2.0)
    assert evaluated > 0


def test_no_limit_allows_everything():
    assert Share(None).allows(1e9, 0.0)
    assert Share(1.0).allows(1e9, 0.0)


def test_the_beginning_allows_nothing():
    assert not Share(0.1).allows(0.1, 0.5)
    assert Share(0.1).allowance(9.0) == pytest.approx(1.0)  # 1 of 10 seconds
