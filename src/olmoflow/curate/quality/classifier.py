"""A fastText classifier from labelled corpora: quality against the rest, or topics.

Whatever labels there are, each is a corpus of examples: instruction data against random web pages
makes a quality classifier, one corpus a topic makes a topic classifier. The hash of a document's
text decides whether it trains or tests, so a copy never stands on both sides.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.documents import Intake, read_documents
from olmoflow.errors import UserError

LABEL = "__label__"
_BATCH = 1000
# Allocated bytes become the complement of what mallopt is given for this.
_M_PERTURB = -6
# In which fastText draws its vectors.
_PARTS = 11


@dataclass(frozen=True)
class LabelScores:
    """How a label fares on the text that was held out.

    Attributes:
        precision: Share of right ones among the documents given this label; None: none was.
        recall: Share of its documents that were given it; None: it has none.
        train: Documents it was trained on.
        heldout: Documents held out.
    """

    precision: float | None
    recall: float | None
    train: int
    heldout: int


@dataclass(frozen=True)
class ClassifierReport:
    """What came of the training.

    Attributes:
        accuracy: Share of the held-out documents that are given their label.
        chance: What always saying the most frequent label would have.
        labels: By label.
        confusion: By true label, how often each was given.
    """

    accuracy: float
    chance: float
    labels: dict[str, LabelScores]
    confusion: dict[str, dict[str, int]]


def train_classifier(
    corpora: Mapping[str, Path],
    output: Path,
    scratch: Path,
    *,
    heldout_fraction: float = 0.1,
    max_documents: int | None = None,
    dimension: int = 64,
    word_ngrams: int = 2,
    hash_buckets: int = 200_000,
    epochs: int = 5,
    learning_rate: float = 0.5,
    min_count: int = 2,
    threads: int = 1,
    seed: int = 0,
    intakes: Mapping[str, Intake] | None = None,
) -> ClassifierReport:
    """Train a classifier, save it, and score it on what it has not seen.

    Documents are streamed into a file of one line each, which fastText reads; in memory are its
    tables, 4 · dimension · (words + hash_buckets) bytes.

    Args:
        corpora: By label, a file or folder of documents; two or more.
        output: The model, a ``.bin``.
        scratch: A folder for the lines.
        heldout_fraction: Share of the documents that is held out, about.
        max_documents: Of each label, the first so many; None: all.
        dimension: Of the vectors.
        word_ngrams: Longest run of words that is a feature.
        hash_buckets: Into how many the runs of words are hashed.
        epochs: Times the text is gone through.
        learning_rate: At the start; it goes to 0 linearly.
        min_count: Words that are rarer are left out.
        threads: More than one is faster, and no two runs are the same.
        seed: Of the vectors, and of the split.
        intakes: By label, what counts its documents and keeps what is malformed; None: new ones.

    Raises:
        UserError: There are fewer than two labels, a label is no word, a corpus is missing or
            malformed, a label has too few documents, or the training diverged.
    """
    import fasttext

    _check(corpora, heldout_fraction)
    train, heldout = scratch / "train.txt", scratch / "heldout.txt"
    counts = {label: [0, 0] for label in corpora}
    with train.open("w", encoding="utf-8") as kept, heldout.open("w", encoding="utf-8") as out:
        counting = intakes or {label: Intake() for label in corpora}
        for label, line, is_out in _lines(corpora, heldout_fraction, max_documents, seed, counting):
            counts[label][is_out] += 1
            _write(out if is_out else kept, label, line)
    for label, found in counts.items():
        if min(found) == 0:
            raise UserError(
                f"corpora.{label}: {found[0]} documents to train on and {found[1]} held out; "
                "expected some of both"
            )
    try:
        with _memory_starts_at_zero(threads):
            model = fasttext.train_supervised(
                str(train),
                dim=dimension,
                wordNgrams=word_ngrams,
                bucket=hash_buckets if word_ngrams > 1 else 0,
                epoch=epochs,
                lr=learning_rate,
                minCount=min_count,
                thread=threads,
                seed=seed,
                verbose=0,
            )
    except RuntimeError as error:
        if "NaN" not in str(error):
            raise
        raise UserError(
            f"learning_rate={learning_rate:g}: the training diverged; expected a smaller one"
        ) from error
    output.parent.mkdir(parents=True, exist_ok=True)
    model.save_model(str(output))
    return _report(list(corpora), counts, _confusion(model, heldout, list(corpora)))


def one_line(text: str) -> str:
    """A text as fastText takes it: its line ends and NULs are spaces."""
    return " ".join(text.replace("\0", " ").split())


@contextmanager
def _memory_starts_at_zero(threads: int) -> Iterator[None]:
    """What is allocated within is 0, where the C library can do that (glibc); else it is said.

    fastText 0.9.2 draws its vectors in ten parts and a rest, one a thread: with fewer than eleven
    threads what is left stays as it was in memory, which may be anything, NaN as well. (macOS fills
    memory only for processes that are started so, by MallocPreScribble.)
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        if threads < _PARTS:
            print(
                "olmoflow: with this C library fastText starts from what memory holds, so that two "
                f"trainings may differ; threads={_PARTS} or more start as they should",
                file=sys.stderr,
            )
        yield
        return
    mallopt(_M_PERTURB, 0xFF)
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)


def _check(corpora: Mapping[str, Path], heldout_fraction: float) -> None:
    if len(corpora) < 2:
        raise UserError(f"corpora={list(corpora)}: expected two labels or more, each with a path")
    for label in corpora:
        if not label or label.split() != [label]:
            raise UserError(f"corpora.{label}: expected a label without spaces")
    if not 0 < heldout_fraction < 1:
        raise UserError(f"heldout_fraction={heldout_fraction:g}: expected more than 0, below 1")


def _lines(
    corpora: Mapping[str, Path],
    heldout_fraction: float,
    max_documents: int | None,
    seed: int,
    intakes: Mapping[str, Intake],
) -> Iterator[tuple[str, str, bool]]:
    """Label, text on one line, and whether it is held out; the labels one after the other."""
    for label, path in corpora.items():
        for number, document in enumerate(read_documents(path, intakes[label])):
            if max_documents is not None and number >= max_documents:
                break
            line = one_line(document.text)
            digest = hashlib.sha256(f"{seed}\0{line}".encode()).digest()
            uniform = int.from_bytes(digest[:8], "big") / 2**64
            yield label, line, uniform < heldout_fraction


def _write(file: IO[str], label: str, line: str) -> None:
    # A word of the text that looks like a label would be one.
    file.write(f"{LABEL}{label} {line.replace(LABEL, '_label_')}\n")


def _confusion(model: Any, heldout: Path, labels: Sequence[str]) -> NDArray[np.int64]:
    """[labels, labels], true and given."""
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    with heldout.open(encoding="utf-8") as lines:
        while batch := [line.rstrip("\n") for _, line in zip(range(_BATCH), lines, strict=False)]:
            pairs = [line.partition(" ") for line in batch]
            given, _ = model.predict([text for _, _, text in pairs])
            for (true, _, _), found in zip(pairs, given, strict=True):
                if found:
                    row, column = true.removeprefix(LABEL), found[0].removeprefix(LABEL)
                    counts[place[row], place[column]] += 1
    return counts


def _report(
    labels: Sequence[str], counts: Mapping[str, Sequence[int]], confusion: NDArray[np.int64]
) -> ClassifierReport:
    right, total = np.diag(confusion), sum(found[1] for found in counts.values())
    given = confusion.sum(axis=0)
    scores = {
        label: LabelScores(
            precision=float(right[i] / given[i]) if given[i] else None,
            recall=float(right[i] / counts[label][1]),
            train=counts[label][0],
            heldout=counts[label][1],
        )
        for i, label in enumerate(labels)
    }
    table = {
        label: {other: int(confusion[i, j]) for j, other in enumerate(labels)}
        for i, label in enumerate(labels)
    }
    most = max(found[1] for found in counts.values())
    return ClassifierReport(float(right.sum() / total), most / total, scores, table)
