"""``olmoflow classify``: labelled corpora into a fastText classifier and its accuracy."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from olmoflow.artifact import Input, claim, resolve
from olmoflow.commands.config.numbers import COUNT, POSITIVE, SHARE, WHOLE, check_each
from olmoflow.commands.inputs.documents import longest_document, where_given
from olmoflow.digests import write_json
from olmoflow.errors import UserError

MODEL, METRICS = "model.bin", "metrics.json"
_NUMBERS = {
    "heldout_fraction": SHARE,
    "max_documents": f"{WHOLE} or null",
    **dict.fromkeys(("dimension", "word_ngrams", "hash_buckets", "epochs", "min_count"), WHOLE),
    "learning_rate": POSITIVE,
    "seed": COUNT,
    "max_error_rate": SHARE,
    "runtime.threads": WHOLE,
}


def run(config: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Train a classifier; see ``conf/classify.yaml`` for the settings."""
    if not isinstance(config["corpora"], Mapping):
        raise UserError(f"corpora={config['corpora']}: expected {{LABEL: CORPUS, …}}")
    check_each(config, _NUMBERS)
    inputs = {
        str(label): resolve(reference, f"corpora.{label}", ["corpus"])
        for label, reference in config["corpora"].items()
    }
    with claim(
        "classifier",
        command="classify",
        config={**where_given(config), "corpora": None},
        inputs=list(inputs.values()),
        name=config["name"],
    ) as work:
        if work.finished is None:
            work.finish(_train(config, inputs, work.path))
    assert work.finished is not None
    return {
        "classifier": work.finished.name,
        "path": str(work.path),
        "model": str(work.path / MODEL),
        **work.finished.figures,
    }


def report(result: Mapping[str, Any]) -> None:
    """How well each label is told."""
    from rich.table import Table

    from olmoflow.commands.command_line.tables import print_table

    table = Table(box=None, header_style="bold")
    table.add_column("label")
    for column in ("precision", "recall", "train", "held out"):
        table.add_column(column, justify="right")
    for label, scores in result["labels"].items():
        shares = (scores["precision"], scores["recall"])
        shown = ("–" if share is None else f"{share:.3f}" for share in shares)
        table.add_row(label, *shown, f"{scores['train']:,}", f"{scores['heldout']:,}")
    print_table(table)
    print(
        f"classifier {result['classifier']}: accuracy {result['accuracy']:.3f} on held-out "
        f"documents (always the most frequent label: {result['chance']:.3f})"
    )
    if result["malformed"]:
        print(f"left out: malformed (errors.jsonl) {result['malformed']:,}")


def _train(config: Mapping[str, Any], inputs: Mapping[str, Input], folder: Path) -> dict[str, Any]:
    from olmoflow.curate.quality.classifier import train_classifier
    from olmoflow.documents import Intake

    scratch = folder / "lines"
    scratch.mkdir(exist_ok=True)
    maximum, rate = config["max_documents"], float(config["max_error_rate"])
    intakes = {
        label: Intake(rate, longest_document(config, each)) for label, each in inputs.items()
    }
    try:
        found = train_classifier(
            {label: _documents(each.path) for label, each in inputs.items()},
            folder / MODEL,
            scratch,
            heldout_fraction=float(config["heldout_fraction"]),
            max_documents=None if maximum is None else int(float(maximum)),
            dimension=int(config["dimension"]),
            word_ngrams=int(config["word_ngrams"]),
            hash_buckets=int(float(config["hash_buckets"])),
            epochs=int(config["epochs"]),
            learning_rate=float(config["learning_rate"]),
            min_count=int(config["min_count"]),
            threads=int(config["runtime"]["threads"]),
            seed=int(config["seed"]),
            intakes=intakes,
        )
    finally:
        shutil.rmtree(scratch)
        malformed = [each for intake in intakes.values() for each in intake.malformed]
        Intake(malformed=malformed).write(folder)
    metrics = {**asdict(found), "malformed": len(malformed)}
    write_json(folder / METRICS, metrics)
    return metrics


def _documents(corpus: Path) -> Path:
    """The training split of a corpus; a user's own files are one."""
    return corpus / "train" if (corpus / "train").is_dir() else corpus
