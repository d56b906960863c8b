"""The steps of all-dressed that `all_dressed.py` compares, by our engine; prints a JSON object.

python benchmarks/curate/all_dressed_olmoflow.py SOURCE OUTPUT LISTS WORKERS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from olmoflow.curate.pipeline.engine import Pipeline, run_pipeline
from olmoflow.curate.pipeline.plan import steps_of

RECIPE = Path(__file__).parents[2] / "conf" / "pipeline" / "all_dressed.yaml"
# Of RefinedWeb, and with a model of languages.
LEFT_OUT = ("url_domains_curated", "url_words_strict", "url_words_hard", "url_words_soft",
            "fasttext_annotator", "english", "madlad400_sentence_annotator",
            "madlad400_rule_filter")  # fmt: skip


def recipe(lists: Path) -> list[Any]:
    """The steps of the file, those that are left out apart."""
    text = RECIPE.read_text().replace("${pipeline.banlists}", str(lists))
    steps = yaml.safe_load(text)["steps"]
    names = [s if isinstance(s, str) else s.get("label", s["name"]) for s in steps]
    return [step for step, name in zip(steps, names, strict=True) if name not in LEFT_OUT]


def main(source: Path, output: Path, lists: Path, workers: int) -> None:
    steps = tuple(steps_of(recipe(lists)))
    pipeline = Pipeline(steps, (str(source),), heldout_fraction=0)
    started = time.perf_counter()
    result = run_pipeline(pipeline, output / "corpus", workers=workers)
    seconds = time.perf_counter() - started
    read = result.accounts[0].before
    kept = sum(result.documents.values())
    print(json.dumps({"seconds": seconds, "documents": read.documents, "kept": kept,
                      "text_bytes": read.bytes}))  # fmt: skip


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), int(sys.argv[4]))
