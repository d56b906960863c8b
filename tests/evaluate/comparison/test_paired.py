"""Paired statistics on numbers worked out by hand or by scipy."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm, ttest_rel

from olmoflow.errors import UserError
from olmoflow.evaluate.comparison.noise import decision_accuracy, signal_to_noise
from olmoflow.evaluate.comparison.paired import holm, paired, sign_test


def test_accuracies_are_compared_by_mcnemars_exact_test():
    # Both right 50, only b 15, only a 5, neither 30.
    a = [1] * 50 + [0] * 15 + [1] * 5 + [0] * 30
    b = [1] * 50 + [1] * 15 + [0] * 5 + [0] * 30
    found = paired(a, b)
    assert (found.a, found.b, found.difference) == (0.55, 0.65, pytest.approx(0.10))
    assert (found.higher, found.lower, found.n) == (15, 5, 100)
    assert found.test == "mcnemar"
    assert found.p_value == pytest.approx(binomtest(5, 20).pvalue)
    # Var(d) = (20 - 100 * 0.1^2) / 99
    stderr = math.sqrt((20 - 100 * 0.01) / 99 / 100)
    assert found.stderr == pytest.approx(stderr)
    assert (found.low, found.high) == pytest.approx(
        (0.1 - 1.959964 * stderr, 0.1 + 1.959964 * stderr)
    )
    assert found.mde80 == pytest.approx((1.959964 + 0.841621) * stderr)


@pytest.mark.parametrize(("higher", "lower"), [(0, 0), (3, 0), (7, 12), (900, 800), (3000, 2500)])
def test_the_sign_test_is_exact_however_many_questions(higher, lower):
    expected = binomtest(higher, higher + lower).pvalue if higher + lower else 1.0
    assert sign_test(higher, lower) == pytest.approx(expected, rel=1e-9)


def test_other_metrics_are_compared_by_their_standard_error():
    values = np.random.default_rng(0).normal([[0], [0.1]], size=(2, 400))
    found = paired(values[0].tolist(), values[1].tolist())
    statistic = float(ttest_rel(values[1], values[0]).statistic)
    assert found.test == "normal"
    assert found.difference / found.stderr == pytest.approx(statistic)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(statistic)))


def test_mde80_is_seen_in_four_of_five_experiments():
    draw = np.random.default_rng(1)
    sigma, n = 0.4, 200
    effect = paired([0.0] * n, draw.normal(0, sigma, n).tolist()).mde80
    assert effect == pytest.approx((1.96 + 0.8416) * sigma / math.sqrt(n), rel=0.15)
    effect = (1.959964 + 0.841621) * sigma / math.sqrt(n)
    seen = [
        paired([0.0] * n, draw.normal(effect, sigma, n).tolist()).p_value < 0.05
        for _ in range(1500)
    ]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.03)


def test_what_tells_nothing_has_no_p_value():
    assert paired([0.3], [0.4]).stderr is None
    assert paired([0.5, 0.25], [0.75, 0.5]).p_value is None
    same = paired([1, 0, 1], [1, 0, 1])
    assert (same.difference, same.p_value, same.low, same.mde80) == (0, 1.0, None, None)


def test_holm_corrects_for_the_number_of_tests():
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, 0.06, 0.06]


def test_signal_over_noise_of_the_last_checkpoints():
    curves = {"x": [0.1, 0.50, 0.54], "y": [0.2, 0.60, 0.62], "z": [0.70]}
    found = signal_to_noise(curves, last=2)
    assert found.scores == {"x": 0.54, "y": 0.62, "z": 0.70}
    assert found.signal == pytest.approx(0.16 / 0.62)
    noise = (0.04 / math.sqrt(2) / 0.52 + 0.02 / math.sqrt(2) / 0.61) / 2
    assert found.noise == pytest.approx(noise)
    assert found.ratio == pytest.approx(found.signal / noise)
    assert found.checkpoints == {"x": 2, "y": 2, "z": 1}


def test_one_run_has_no_signal_and_one_checkpoint_no_noise():
    found = signal_to_noise({"x": [0.5]}, last=5)
    assert (found.signal, found.noise, found.ratio) == (None, None, None)


def test_decision_accuracy_is_the_share_of_pairs_ranked_alike():
    assert decision_accuracy([1, 2, 3], [10, 30, 20]) == pytest.approx(2 / 3)
    assert decision_accuracy([1, 1], [10, 30]) == 0.5
    assert decision_accuracy([1], [2]) is None
    with pytest.raises(UserError, match="2 runs found; expected 1"):
        decision_accuracy([1], [2, 3])
