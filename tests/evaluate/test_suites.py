"""Suites: what they hold, how they aggregate, what is said of mistakes; and those that ship."""

import math
from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from olmoflow.commands.command_line.hydra_app import compose
from olmoflow.commands.main import config_root
from olmoflow.errors import UserError
from olmoflow.evaluate.suites import build_suite, suite_of_tasks
from olmoflow.evaluate.tasks.document import DocumentTask


@dataclass(frozen=True)
class Score:
    score: float | None
    stderr: float | None = None
    n: int = 0
    error: str | None = None


NESTED = {
    "name": "nested",
    "aggregate": "macro",
    "children": {
        "arc": {"task": "arc:rc", "aggregate": "micro"},
        "winogrande": {
            "aggregate": "best_format",
            "children": {"mc": "winogrande:mc", "rc": "winogrande:rc"},
        },
        "deep": {"aggregate": "macro", "children": {"er": {"children": {"piqa": "piqa:rc"}}}},
        "boolq": None,  # taken out
    },
}
SCORES = {
    "arc_challenge:rc": Score(0.2, 0.03, 100),
    "arc_easy:rc": Score(0.6, 0.01, 300),
    "winogrande:mc": Score(0.5, 0.02, 50),
    "winogrande:rc": Score(0.7, 0.04, 50),
    "piqa:rc": Score(0.8, 0.0, 10),
}


def test_nested_suites_aggregate_by_hand():
    found = build_suite(NESTED).score(SCORES)
    arc, winogrande, deep = found.children.values()
    assert arc.score == pytest.approx((100 * 0.2 + 300 * 0.6) / 400)
    assert arc.stderr == pytest.approx(math.hypot(100 * 0.03, 300 * 0.01) / 400)
    assert (winogrande.score, winogrande.stderr, winogrande.chosen) == (0.7, 0.04, "rc")
    assert deep.score == 0.8
    assert found.score == pytest.approx((0.5 + 0.7 + 0.8) / 3)
    assert found.stderr == pytest.approx(math.hypot(arc.stderr, 0.04, 0.0) / 3)
    assert (found.n, found.higher_is_better, found.reason) == (460, True, None)
    plain = found.as_dict()
    piqa = plain["children"]["deep"]["children"]["er"]["children"]["piqa"]
    assert (piqa["score"], piqa["task"], "aggregate" in piqa) == (0.8, "piqa:rc", False)


def test_a_score_that_lacks_a_part_is_none_with_the_reason_and_never_a_zero():
    scores = {**SCORES, "arc_easy:rc": Score(None, error="out of memory")}
    del scores["piqa:rc"]
    found = build_suite(NESTED).score(scores)
    assert found.score is None
    assert found.reason == (
        "2 of 3 have no score: arc (1 of 2 have no score: arc_easy:rc (out of memory)), "
        "deep (1 of 1 have no score: er (1 of 1 have no score: piqa (it was not evaluated)))"
    )
    assert found.children["winogrande"].score == 0.7
    assert found.children["arc"].children["arc_challenge:rc"].score == 0.2


def test_a_stderr_that_lacks_a_part_is_none():
    scores = {**SCORES, "piqa:rc": Score(0.8, None, 1)}
    found = build_suite(NESTED).score(scores)
    assert found.score is not None
    assert found.stderr is None


def test_of_bits_per_byte_the_lower_format_is_the_better():
    suite = build_suite(
        {"aggregate": "best_format", "children": {"a": "arc_easy:bpb", "b": "arc_easy:bpb:0shot"}}
    )
    scores = {"arc_easy:bpb": Score(1.2, n=5), "arc_easy:bpb:0shot": Score(0.9, n=5)}
    assert (suite.score(scores).score, suite.score(scores).chosen) == (0.9, "b")


def test_tasks_come_once_with_their_settings_and_limits():
    suite = build_suite(
        {
            "aggregate": "none",
            "limit": 50,
            "children": {
                "one": {
                    "limit": 1000,  # more than from above
                    "children": {"a": "arc_easy:rc", "b": {"task": "piqa:rc", "limit": 9}},
                },
                "two": {"children": {"a": "arc_easy:rc"}},
                "raw": {"task": "arc:rc", "primary_metric": "acc_raw"},
            },
        }
    )
    assert {key: leaf.limit for key, leaf in suite.tasks().items()} == {
        "arc_easy:rc": 50,
        "piqa:rc": 9,
        "arc_challenge:rc(primary_metric=acc_raw)": 50,
        "arc_easy:rc(primary_metric=acc_raw)": 50,
    }
    assert len(list(suite.leaves())) == 5
    raw = suite.tasks()["arc_easy:rc(primary_metric=acc_raw)"].task
    assert raw.primary_metric == "acc_raw"


def test_a_list_of_tasks_is_a_suite_without_a_score():
    suite = suite_of_tasks(["arc_easy:bpb", "mmlu_stem:mc"], limit=3)
    assert len(suite.tasks()) == 19
    assert suite.score({}).score is None
    assert suite.score({}).children["mmlu_stem:mc"].aggregate == "macro"
    with pytest.raises(
        UserError, match=r"^tasks=\[mmlu_sem:mc\]: no task mmlu_sem:mc; did you mean mmlu_stem:mc"
    ):
        suite_of_tasks(["mmlu_sem:mc"])
    with pytest.raises(UserError, match="expected at least one task"):
        suite_of_tasks([])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"children": {"a": "arc_esy:rc"}}, "suite.children.a: no task arc_esy:rc; did you mean"),
        ({"children": {"a": "arc:rx"}}, "suite.children.a: no task arc:rx; did you mean arc:rc"),
        ({"childen": {}}, r"suite.childen: a suite has no such key; did you mean children\?"),
        ({"children": {"a": {"agregate": "macro"}}}, "a.agregate: .*did you mean aggregate"),
        ({"aggregate": "mean", "children": {"a": "piqa:rc"}}, "aggregate=mean: expected one of"),
        ({"children": {"a": {"children": {}}}}, "suite.children.a.children: empty"),
        ({"children": {"a": 3}}, "suite.children.a=3: expected a task's name"),
        ({"children": ["piqa:rc"]}, r"suite.children=\['piqa:rc'\]: expected names and what"),
        ({"limit": 0, "children": {"a": "piqa:rc"}}, "suite.limit=0: expected a number of"),
        ({"children": {"a": {"task": "piqa:rc", "limit": "x"}}}, "suite.children.a.limit=x: exp"),
        (
            {"children": {"a": {"task": "piqa:rc", "samples": 2}}},
            "task piqa:rc: has no setting samples",
        ),
        (
            {"children": {"a": {"task": "piqa:rc", "aggregate": "micro"}}},
            "suite.children.a.aggregate: piqa:rc is a single task",
        ),
        (
            {"children": {"a": {"task": "arc:rx", "aggregate": "micro"}}},
            "suite.children.a: no task arc:rx",
        ),
        (
            {"children": {"up": "piqa:rc", "down": "piqa:bpb"}},
            "suite.aggregate=macro: of up more is better, of down less",
        ),
        (
            {"children": {"a": {"aggregate": "none", "children": {"b": "piqa:rc"}}}},
            "a has no score of its own; expected none",
        ),
        (
            {
                "aggregate": "none",
                "children": {"a": "piqa:rc", "b": {"task": "piqa:rc", "limit": 3}},
            },
            "suite: piqa:rc stands in it with different limits",
        ),
    ],
)
def test_mistakes_are_named_before_anything_is_read(config, message, monkeypatch):
    monkeypatch.setenv("OLMOFLOW_OLMO_EVAL", "/nowhere")
    with pytest.raises(UserError, match=message):
        build_suite(config)


FOLDER = config_root() / "conf" / "suite"
NAMES = sorted(
    path.relative_to(FOLDER).with_suffix("").as_posix()
    for path in FOLDER.rglob("*.yaml")
    if path.stem != "bits_per_byte"
)
# Entries and tasks, as OLMES has them (less what the wheel lacks, see the files).
SIZES = {
    "base_easy": (3, 109),
    "base_easy/qa_bpb": (21, 83),
    "base_easy/qa_rc": (16, 78),
    "base_easy/math_bpb": (1, 7),
    "base_easy/code_bpb": (3, 19),
    "base_main/stem_qa_mc": (5, 23),
    "base_main/nonstem_qa_mc": (6, 42),
    "base_main": (5, 89),
    "base_main/gen": (9, 14),
    "base_main/math": (2, 8),
    "base_main/code": (2, 2),
    "olmes": (10, 132),
    "fast": (2, 132),
}


def shipped(name, *overrides):
    config = compose("evaluate", ["checkpoint=any", f"suite={name}", *overrides]).suite
    return build_suite(OmegaConf.to_container(config, resolve=True))


@pytest.mark.parametrize("name", SIZES)
def test_suites_that_ship_are_as_large_as_olmess(name):
    suite = shipped(name)
    assert (len(suite.children), len(suite.tasks())) == SIZES[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_task_of_every_suite_has_its_questions(name):
    suite = shipped(name)
    for leaf in suite.leaves():
        if isinstance(leaf.task, DocumentTask):  # others have tests of their own
            assert next(leaf.task.instances()).requests, leaf.key
    # It also aggregates: with a score of each task there is one wherever there should be.
    found = suite.score({key: Score(0.5, 0.1, 10) for key in suite.tasks()})
    assert (found.score is None) == (suite.aggregate == "none")
    assert all(child.score == pytest.approx(0.5) for child in found.children.values())


def test_fast_has_olmo_cores_26_scores():
    suite = shipped("fast")
    scores = [name for part in suite.children.values() for name in part.children]
    assert len(scores) == 26
    assert suite.children["bpb"].children["mmlu_stem"].aggregate == "micro"


def test_a_suite_is_changed_on_the_command_line():
    suite = shipped("base_easy/qa_rc", "suite.limit=7", "suite.children.mmlu=null")
    assert len(suite.tasks()) == 21
    assert {leaf.limit for leaf in suite.leaves()} == {7}


def test_a_mistyped_suite_is_told_what_it_may_have_meant():
    for typo, meant in [("fats", "fast"), ("base_easy/qa_bbp", "base_easy/qa_bpb")]:
        with pytest.raises(UserError, match=f"suite={typo}: did you mean {meant}"):
            compose("evaluate", ["checkpoint=any", f"suite={typo}"])
