"""Names that stand for several tasks: ``mmlu_stem:mc`` is the 18 subjects' ``mmlu_SUBJECT:mc``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from olmoflow.evaluate.tasks.catalog import BASIC_SKILLS, MINERVA_SUBJECTS, MT_MBPP_LANGUAGES
from olmoflow.evaluate.tasks.mmlu_subjects import SUBJECTS, subjects_of

# Group to the names of its tasks, without what stands behind the first colon.
GROUPS: Mapping[str, Sequence[str]] = {
    "arc": ("arc_challenge", "arc_easy"),
    "basic_skills": [f"basic_skills_{skill}" for skill in BASIC_SKILLS],
    "minerva_math": [f"minerva_math_{subject}" for subject in MINERVA_SUBJECTS],
    "mmlu": [f"mmlu_{subject}" for subject in SUBJECTS],
    "mmlu_stem": [f"mmlu_{subject}" for subject in subjects_of("stem")],
    "mmlu_humanities": [f"mmlu_{subject}" for subject in subjects_of("humanities")],
    "mmlu_social_sciences": [f"mmlu_{subject}" for subject in subjects_of("social_sciences")],
    "mmlu_other": [f"mmlu_{subject}" for subject in subjects_of("other")],
    "mt_mbpp": [f"mt_mbpp_{language}" for language in MT_MBPP_LANGUAGES],
}


def members(name: str) -> list[str] | None:
    """The tasks that a group's name stands for; None: it is no group's."""
    group, colon, rest = name.partition(":")
    return [f"{task}{colon}{rest}" for task in GROUPS[group]] if group in GROUPS else None


def group_names(tasks: Sequence[str]) -> list[str]:
    """Every group with everything that may stand behind its colon.

    Args:
        tasks: The names of all tasks.
    """
    rest: dict[str, list[str]] = {}
    for task in tasks:
        head, _, tail = task.partition(":")
        rest.setdefault(head, []).append(tail)
    return [f"{group}:{tail}" for group, heads in GROUPS.items() for tail in rest.get(heads[0], [])]
