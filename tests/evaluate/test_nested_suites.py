"""Suites of any shape against the long way: from the questions' own values, part by part.

A task's questions are drawn, everything above them is worked out twice: by the suite, and by
carrying each question's weight down from the top. What a comparison says of the parts is held to
the same.
"""

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from olmoflow.evaluate.comparison.compare import TaskComparison
from olmoflow.evaluate.comparison.paired import paired
from olmoflow.evaluate.comparison.parts import compare_parts
from olmoflow.evaluate.runner.summary import TaskSummary, standard_error
from olmoflow.evaluate.suites import build_suite
from olmoflow.evaluate.tasks.registry import list_tasks

TASKS = [name for name in list_tasks() if name.endswith(":rc")]
GRADES = st.sampled_from([0.0, 0.25, 0.5, 1.0])
PRIMES = [n for n in range(2, 600) if all(n % k for k in range(2, n))]  # more than tasks


@st.composite
def suites(draw):
    """A suite as config and the values of two models on each of its tasks, each task once."""
    free = iter(TASKS)

    def node(depth):
        aggregate = draw(st.sampled_from(["macro", "micro", "best_format"]))
        children = {}
        for number in range(draw(st.integers(1, 3))):
            deeper = depth < 3 and draw(st.booleans())
            children[f"c{number}"] = node(depth + 1) if deeper else next(free)
        return {"aggregate": aggregate, "children": children}

    config = node(0)
    models = [{}, {}]
    for task, prime in zip(tasks_of(config), PRIMES, strict=False):
        length = draw(st.integers(2, 5))
        for model in models:
            values = draw(st.lists(GRADES, min_size=length, max_size=length))
            # No two means of these are equal, so that rounding decides on no best format.
            model[task] = [value + math.sqrt(prime) / 1000 for value in values]
    return config, *models


def tasks_of(node):
    if isinstance(node, str):
        return [node]
    return [task for child in node["children"].values() for task in tasks_of(child)]


def summary(task, values):
    mean, stderr = statistics.fmean(values), standard_error(values)
    return TaskSummary(task, "hash", "acc_per_char", True, mean, stderr, len(values))


def weights(node, values):
    """How much each task's mean counts in the score of a part, and its questions."""
    if isinstance(node, str):
        return {node: 1.0}, len(values[node])
    parts = [weights(child, values) for child in node["children"].values()]
    if node["aggregate"] == "best_format":
        return max(parts, key=lambda part: score(part[0], values))
    counts = [n if node["aggregate"] == "micro" else 1 for _, n in parts]
    shares = [count / sum(counts) for count in counts]
    merged = {
        task: share * weight
        for share, (part, _) in zip(shares, parts, strict=True)
        for task, weight in part.items()
    }
    return merged, sum(n for _, n in parts)


def score(weighted, values):
    return sum(weight * statistics.fmean(values[task]) for task, weight in weighted.items())


def error(weighted, values):
    """Of a weighted mean of independent means: the variances of the questions, summed up."""
    variances = (
        w**2 * statistics.variance(values[t]) / len(values[t]) for t, w in weighted.items()
    )
    return math.sqrt(sum(variances))


def parts_of(node, found):
    """Every part of a suite beside what was found of it."""
    yield node, found
    if not isinstance(node, str):
        for name, child in node["children"].items():
            yield from parts_of(child, found.children[name])


@settings(max_examples=60)
@given(suites())
def test_every_part_is_the_weighted_mean_of_its_questions(drawn):
    config, values, _ = drawn
    found = build_suite(config).score({task: summary(task, v) for task, v in values.items()})
    for node, part in parts_of(config, found):
        weighted, n = weights(node, values)
        assert sum(weighted.values()) == pytest.approx(1)
        assert (part.n, part.reason) == (n, None)
        assert part.score == pytest.approx(score(weighted, values))
        assert part.stderr == pytest.approx(error(weighted, values))


@settings(max_examples=60)
@given(suites())
def test_a_comparison_of_parts_agrees_with_the_two_scores(drawn):
    config, *models = drawn
    suite = build_suite(config)
    scored = [suite.score({t: summary(t, v) for t, v in each.items()}) for each in models]
    rows = {
        task: TaskComparison(task, "acc_per_char", True, paired(*(each[task] for each in models)))
        for task in models[0]
    }
    stored = [each.as_dict()["children"] for each in scored]
    compared = compare_parts(*stored, rows)
    for name, child in config["children"].items():
        sides = [parts_of(child, each.children[name]) for each in scored]
        for (node, a), (_, b), (_, both) in zip(
            *sides, parts_of(child, compared[name]), strict=True
        ):
            assert (both.a, both.b) == (pytest.approx(a.score), pytest.approx(b.score))
            chosen = [weights(node, each) for each in models]
            assert both.counts == tuple(n for _, n in chosen)
            if chosen[0] == chosen[1]:
                weighted = chosen[0][0]
                gaps = {
                    task: [y - x for x, y in zip(*(each[task] for each in models), strict=True)]
                    for task in weighted
                }
                assert both.stderr == pytest.approx(error(weighted, gaps))


@settings(max_examples=30)
@given(suites(), st.data())
def test_without_one_task_only_what_lies_beside_it_has_a_score(drawn, data):
    config, values, _ = drawn
    lost = data.draw(st.sampled_from(sorted(values)))
    scores = {task: summary(task, v) for task, v in values.items() if task != lost}
    for node, part in parts_of(config, build_suite(config).score(scores)):
        if lost in tasks_of(node):
            assert part.score is None
            assert part.reason
        else:
            assert part.score == pytest.approx(score(weights(node, values)[0], values))
