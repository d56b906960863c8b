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
        assert part["chosen"] == "one"
        assert "reason" not in part  # nothing is wrong


def test_a_tasks_own_test_decides_where_a_part_is_that_task():
    """Three of eight questions: the exact test sees nothing, whatever the interval says."""
    values = paired([0.0] * 8, [1.0] * 3 + [0.0] * 5)
    assert values.low > 0
    row = TaskComparison("one:rc", "acc_raw", True, values)
    assert (row.verdict, values.p_value) == ("no difference", 0.25)
    other = TaskComparison("two:rc", "acc_raw", True, paired([0.0] * 8, [0.0] * 8))
    rows = {"one:rc": row, "two:rc": other}
    for aggregate in ("macro", "best_format"):
        part = compare_parts(stored(aggregate), stored(aggregate), rows)["all"].as_dict()
        assert part["children"]["one"]["p_value"] == 0.25
        assert part["children"]["one"]["verdict"] == "no difference"
    assert (part["chosen"], part["p_value"], part["verdict"]) == ("one", 0.25, "no difference")


def test_accuracies_that_all_differ_alike_have_a_verdict():
    row = TaskComparison("one:rc", "acc_raw", True, paired([0.0] * 8, [1.0] * 8))
    assert row.paired.low is None
    assert row.verdict == "better"
