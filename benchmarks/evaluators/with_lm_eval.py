"""Scores questions with lm-eval's Hugging Face backend, in lm-eval's own environment.

    .peers/transformers/bin/python benchmarks/evaluators/with_lm_eval.py MODEL TASKS BATCH_SIZE

MODEL is a Hugging Face folder, TASKS a folder with one YAML file and one JSONL file for each task.
Each line on standard input names tasks, with commas between them; the answer is one JSON object on
standard output: the seconds of the whole evaluation without loading the model, and of each task the
scores and what was said of each question.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

KEPT = ("doc_id", "resps", "filtered_resps", "acc", "acc_norm", "acc_bytes", "exact_match")


def main() -> None:
    """Answer requests until standard input ends."""
    folder, tasks, batch_size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    with contextlib.redirect_stdout(sys.stderr):  # lm-eval prints
        model = HFLM(pretrained=str(folder), dtype="float32", device="cpu", batch_size=batch_size)
        manager = TaskManager(include_path=tasks, include_defaults=False)
        for line in sys.stdin:
            print(json.dumps(evaluate(model, manager, line.strip().split(","))), file=answers)


def evaluate(model: HFLM, manager: TaskManager, names: list[str]) -> dict[str, Any]:
    """One evaluation of several tasks."""
    started = time.perf_counter()
    found = simple_evaluate(
        model=model, tasks=names, task_manager=manager, log_samples=True, bootstrap_iters=0
    )
    seconds = time.perf_counter() - started
    assert found is not None
    samples = {
        name: [{key: row[key] for key in KEPT if key in row} for row in found["samples"][name]]
        for name in names
    }
    return {"seconds": seconds, "results": found["results"], "samples": samples}


if __name__ == "__main__":
    main()
