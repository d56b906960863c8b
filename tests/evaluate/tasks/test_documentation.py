"""The table of tasks in docs/evaluation.md says what the tasks are."""

import re
from pathlib import Path

from olmoflow.evaluate.tasks.document import DocumentTask
from olmoflow.evaluate.tasks.registry import find_task, list_tasks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "evaluation.md"
FAMILIES = {
    "mmlu_SUBJECT": r"mmlu_\w+",
    "minerva_math_SUBJECT": r"minerva_math_[a-z]\w+",
    "mt_mbpp_LANGUAGE": r"mt_mbpp_\w+",
}


def rows():
    found = re.findall(r"^\| `(\w+)`(?: \((\d+)\))? \|(.*)\|$", PAGE.read_text(), re.M)
    for name, count, rest in found:
        cells = [cell.strip() for cell in rest.split("|")]
        if len(cells) == 5:
            yield name, int(count or 1), cells


def test_every_task_stands_in_the_table_with_what_it_is():
    plain = {name for name in list_tasks() if name.count(":") == 1}
    ours = {name for name in plain if isinstance(find_task(name), DocumentTask)}
    seen = set()
    for family, count, (formats, questions, shots, split, metric) in rows():
        pattern = FAMILIES.get(family, family)
        heads = {n.split(":")[0] for n in ours if re.fullmatch(rf"{pattern}:\w+", n)}
        assert len(heads) == count, family
        names = {f"{head}:{form}" for head in heads for form in formats.split()}
        tasks = [find_task(name) for name in sorted(names)]
        of_one_form = [t for t in tasks if t.name.endswith(f":{formats.split()[0]}")]
        assert sum(t.documents.count for t in of_one_form) == int(questions), family
        assert {(t.config["num_shots"], t.config["split"]) for t in tasks} == {(int(shots), split)}
        assert {t.primary_metric for t in tasks if t.name.endswith(":rc")} == (
            {metric} if metric else set()
        ), family
        seen |= names
    assert seen == ours
