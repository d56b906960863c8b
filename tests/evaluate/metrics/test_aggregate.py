"""Means and standard errors of several scores, by hand."""

import math

import pytest

from olmoflow.evaluate.metrics.aggregate import Estimate, best_format, macro, micro

PARTS = [Estimate(0.2, 0.03, 100), Estimate(0.6, 0.01, 300)]


def test_macro_counts_tasks():
    made = macro(PARTS)
    assert (made.score, made.n) == (pytest.approx(0.4), 400)
    assert made.stderr == pytest.approx(math.sqrt(0.03**2 + 0.01**2) / 2)


def test_micro_counts_questions():
    """As if all questions were one task's."""
    made = micro(PARTS)
    assert (made.score, made.n) == (pytest.approx(0.5), 400)
    assert made.stderr == pytest.approx(math.sqrt(3**2 + 3**2) / 400)


def test_the_best_format_keeps_its_own_error():
    assert best_format(PARTS) is PARTS[1]
    bits = [Estimate(1.1, 0.1, 5, False), Estimate(0.9, None, 5, False)]
    assert best_format(bits) is bits[1]
    equal = [Estimate(0.5, 0.1, 5), Estimate(0.5, 0.2, 5)]
    assert best_format(equal) is equal[0]


def test_an_unknown_error_makes_the_sum_unknown():
    assert macro([*PARTS, Estimate(0.1, None, 1)]).stderr is None
