"""What the tasks' differences come to for a suite's parts."""

import pytest

from olmoflow.evaluate.comparison.compare import TaskComparison
from olmoflow.evaluate.comparison.paired import paired
from olmoflow.evaluate.comparison.parts import compare_parts

CHILDREN = {name: {"task": f"{name}:rc"} for name in ("one", "two")}


def stored(aggregate):
    """A suite of accuracies as an evaluation stores it."""
    return {"all": {"aggregate": aggregate, "higher_is_better": True, "children": CHILDREN}}


@pytest.mark.parametrize("aggregate", ["macro", "micro", "best_format"])
def test_which_side_is_better_is_the_compared_metrics_to_say(aggregate):
    """Of accuracies more is better, but ``metric=bits_per_byte_corr`` asks for less."""
    values = paired([1.0, 1.1, 0.9, 1.2], [2.0, 2.2, 1.9, 2.1])
    worse = [1.0 * n for n in range(4)], [5.0 + n * n for n in range(4)]
    rows = {
        "one:rc": TaskComparison("one:rc", "bits_per_byte_corr", False, values),
        "two:rc": TaskComparison("two:rc", "bits_per_byte_corr", False, paired(*worse)),
    }
    part = compare_parts(stored(aggregate), stored(aggregate), rows)["all"].as_dict()
    assert part["difference"] > 0
    assert part["verdict"] == "worse"
    if aggregate == "best_format":
        assert part["a"] == pytest.approx(1.05)
