"""MMLU's subjects, the four categories that they are reported in, and how many questions they have.

Categories: Hendrycks et al. (arXiv 2009.03300), as their code assigns them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Category = Literal["stem", "humanities", "social_sciences", "other"]


@dataclass(frozen=True)
class Subject:
    """A subject.

    Attributes:
        category: What it is reported in.
        counts: Questions on test and on validation.
    """

    category: Category
    counts: tuple[int, int]


SUBJECTS = {
    "abstract_algebra": Subject("stem", (100, 11)),
    "anatomy": Subject("other", (135, 14)),
    "astronomy": Subject("stem", (152, 16)),
    "business_ethics": Subject("other", (100, 11)),
    "clinical_knowledge": Subject("other", (265, 29)),
    "college_biology": Subject("stem", (144, 16)),
    "college_chemistry": Subject("stem", (100, 8)),
    "college_computer_science": Subject("stem", (100, 11)),
    "college_mathematics": Subject("stem", (100, 11)),
    "college_medicine": Subject("other", (173, 22)),
    "college_physics": Subject("stem", (102, 11)),
    "computer_security": Subject("stem", (100, 11)),
    "conceptual_physics": Subject("stem", (235, 26)),
    "econometrics": Subject("social_sciences", (114, 12)),
    "electrical_engineering": Subject("stem", (145, 16)),
    "elementary_mathematics": Subject("stem", (378, 41)),
    "formal_logic": Subject("humanities", (126, 14)),
    "global_facts": Subject("other", (100, 10)),
    "high_school_biology": Subject("stem", (310, 32)),
    "high_school_chemistry": Subject("stem", (203, 22)),
    "high_school_computer_science": Subject("stem", (100, 9)),
    "high_school_european_history": Subject("humanities", (165, 18)),
    "high_school_geography": Subject("social_sciences", (198, 22)),
    "high_school_government_and_politics": Subject("social_sciences", (193, 21)),
    "high_school_macroeconomics": Subject("social_sciences", (390, 43)),
    "high_school_mathematics": Subject("stem", (270, 29)),
    "high_school_microeconomics": Subject("social_sciences", (238, 26)),
    "high_school_physics": Subject("stem", (151, 17)),
    "high_school_psychology": Subject("social_sciences", (545, 60)),
    "high_school_statistics": Subject("stem", (216, 23)),
    "high_school_us_history": Subject("humanities", (204, 22)),
    "high_school_world_history": Subject("humanities", (237, 26)),
    "human_aging": Subject("other", (223, 23)),
    "human_sexuality": Subject("social_sciences", (131, 12)),
    "international_law": Subject("humanities", (121, 13)),
    "jurisprudence": Subject("humanities", (108, 11)),
    "logical_fallacies": Subject("humanities", (163, 18)),
    "machine_learning": Subject("stem", (112, 11)),
    "management": Subject("other", (103, 11)),
    "marketing": Subject("other", (234, 25)),
    "medical_genetics": Subject("other", (100, 11)),
    "miscellaneous": Subject("other", (783, 86)),
    "moral_disputes": Subject("humanities", (346, 38)),
    "moral_scenarios": Subject("humanities", (895, 100)),
    "nutrition": Subject("other", (306, 33)),
    "philosophy": Subject("humanities", (311, 34)),
    "prehistory": Subject("humanities", (324, 35)),
    "professional_accounting": Subject("other", (282, 31)),
    "professional_law": Subject("humanities", (1534, 170)),
    "professional_medicine": Subject("other", (272, 31)),
    "professional_psychology": Subject("social_sciences", (612, 69)),
    "public_relations": Subject("social_sciences", (110, 12)),
    "security_studies": Subject("social_sciences", (245, 27)),
    "sociology": Subject("social_sciences", (201, 22)),
    "us_foreign_policy": Subject("social_sciences", (100, 11)),
    "virology": Subject("other", (166, 18)),
    "world_religions": Subject("humanities", (171, 19)),
}


def subjects_of(category: Category) -> list[str]:
    """The subjects of a category."""
    return [name for name, subject in SUBJECTS.items() if subject.category == category]
