"""pass@k against every way to draw k of n, maj@k against counted votes."""

from itertools import combinations

import pytest

from olmoflow.evaluate.metrics.sampling import majority_at_k, pass_at_k


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_mean_over_all_draws(n):
    for c in range(n + 1):
        passed = [1.0] * c + [0.0] * (n - c)
        for k in range(1, n + 1):
            draws = [max(draw) for draw in combinations(passed, k)]
            assert pass_at_k(n, c, k) == pytest.approx(sum(draws) / len(draws))


def test_pass_at_k_holds_for_many_samples():
    assert pass_at_k(200, 1, 100) == 0.5
    assert pass_at_k(10_000, 9_999, 2) == 1.0
    assert pass_at_k(32, 0, 16) == 0.0


@pytest.mark.parametrize(("n", "c", "k"), [(4, 1, 5), (4, 5, 1), (4, -1, 1), (4, 1, 0)])
def test_pass_at_k_of_too_few_samples_is_no_number(n, c, k):
    with pytest.raises(ValueError, match=f"pass@{k} of 4 samples"):
        pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("answers", "correct", "k", "expected"),
    [
        (["3", "4", "4"], [1, 0, 0], 3, 0.0),
        (["3", "4", "4"], [1, 0, 0], 2, 1.0),  # a tie: what was said first
        (["3", "4", "4"], [0, 1, 1], 3, 1.0),
        ([None, None, "4"], [0, 0, 1], 3, 1.0),  # the silent do not vote
        ([None, None, "4"], [0, 0, 1], 2, 0.0),
    ],
)
def test_majority(answers, correct, k, expected):
    assert majority_at_k(answers, correct, k) == expected


def test_a_majority_of_more_than_there_are_is_no_number():
    with pytest.raises(ValueError, match="maj@4 of 3 answers"):
        majority_at_k(["1", "2", "3"], [1, 0, 0], 4)
