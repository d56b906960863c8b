"""Learning rates at published points of published runs (Olmo 3 report, Tables 35 and 36)."""

import pytest

from olmoflow.train.schedules import Constant, Cosine, HalfCosine, Linear, WarmupStableDecay

TOKENS_7B, PEAK_7B = 4_194_304, 3e-4


def steps(tokens, batch=TOKENS_7B):
    return -(-int(tokens) // batch)


def test_pretraining_7b_ends_where_the_released_run_ended():
    # 5T cosine up to step 597 046, from there the second half of one that would reach 7T.
    first = Cosine(horizon=steps(5e12), warmup=2000)
    stretch = HalfCosine(horizon=steps(7e12), start=597_046)
    assert 3e-4 * first.factor(1999) == pytest.approx(3e-4)
    assert PEAK_7B * first.factor(597_046) == pytest.approx(PEAK_7B * stretch.factor(597_046), 1e-2)
    assert PEAK_7B * stretch.factor(1_413_814) == pytest.approx(3.93e-5, rel=1e-3)


def test_warmup_is_linear_and_its_first_step_learns():
    for schedule in (
        Constant(10),
        Cosine(100, 10),
        Linear(100, 10),
        WarmupStableDecay(100, 10, 20),
    ):
        assert [schedule.factor(s) for s in range(10)] == pytest.approx(
            [(s + 1) / 10 for s in range(10)]
        )


def test_ends():
    assert Cosine(horizon=100, warmup=10, final=0.1).factor(100) == pytest.approx(0.1)
    assert Cosine(horizon=100, warmup=0).factor(50) == pytest.approx(0.55)
    assert Linear(horizon=47_684).factor(47_684) == 0
    assert Linear(horizon=100).factor(25) == pytest.approx(0.75)
    stable = WarmupStableDecay(horizon=100, warmup=10, decay=20)
    assert [stable.factor(s) for s in (10, 79, 80, 90, 100)] == pytest.approx([1, 1, 1, 0.5, 0])


def test_a_run_past_its_horizon_keeps_the_last_value():
    for schedule in (Cosine(10, 0), HalfCosine(10, 5), Linear(10, final=0.1)):
        assert schedule.factor(1000) == pytest.approx(0.1)
