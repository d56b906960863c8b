"""Gopher's heuristics, MB of text a second: our map operations and datatrove's filters.

Both read the same JSON lines, judge every document by Gopher's rules on repetition and on quality
with the same limits, and use all cores: ours threads, datatrove its local executor. What compiled
loops and tokenizers need once is not measured. The two do not keep the same documents: what is a
word, and of what a share is taken, differs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from comparison import compare

from olmoflow.curate.operations.operation import Operation
from olmoflow.curate.pipeline.plan import build_step
from olmoflow.curate.schema import DOCUMENTS
from olmoflow.curate.text.measures import keep_rows

# The order is datatrove's of the same filters: repetition first, then quality.
GOPHER = (
    ("massive_web_repetition_filter", {}),
    ("page_len_filter", {"length_type": "word", "lower_bound": 50, "upper_bound": 100_000}),
    ("word_len_filter", {"lower_bound": 3, "upper_bound": 10}),
    ("symbol_ratio_filter", {"max_symbol_to_word_ratio": 0.1}),
    ("bullet_filter", {"max_bullet_ratio": 0.9}),
    ("ellipsis_line_ratio_filter", {"max_ratio": 0.3}),
    ("alphabetic_word_ratio_filter", {"max_ratio": 0.2}),
    ("stop_word_filter", {"min_stop_word": 2, "count_unique": True}),
)
BATCH_BYTES = 4 << 20
PEER_SCRIPT = Path(__file__).with_name("datatrove_heuristics.py")
DATATROVE = Path(__file__).parents[2] / ".peers" / "datatrove" / "bin" / "python"
MEGABYTES, ROUNDS = 20, 3
CASE = "Gopher's heuristics"
VERSIONS = {"datatrove": "0.10.1"}
LIMITS = {CASE: {"datatrove": 20.0}}


@dataclass(frozen=True)
class Run:
    """What came of one run over all files."""

    seconds: float
    documents: int
    kept: int
    text_bytes: int

    @property
    def megabytes_per_second(self) -> float:
        """MB (10⁶ bytes) of text."""
        return self.text_bytes / 1e6 / self.seconds


def run() -> list[dict[str, Any]]:
    if not DATATROVE.is_file():
        raise SystemExit("the peer is not there yet: ./just bench-peers datatrove")
    with tempfile.TemporaryDirectory() as name:
        files = write_corpus(Path(name), round(MEGABYTES * 1e6))
        runs = [(run_ours(files), run_datatrove(DATATROVE, files)) for _ in range(ROUNDS)]
    for ours, theirs in runs:
        kept = f"{ours.kept} and {theirs.kept} of {ours.documents} documents stay"
        print(f"{ours.seconds:.1f} and {theirs.seconds:.1f} s, {kept}", file=sys.stderr)
    ours, theirs = ([r.megabytes_per_second for r in column] for column in zip(*runs, strict=True))
    return [compare(CASE, ours, theirs, "datatrove", "MB/s")]


def run_ours(files: Sequence[Path], threads: int | None = None) -> Run:
    """Judge the documents of JSON lines files; a warm-up on one document comes before."""
    operations = [build_step(name, settings) for name, settings in GOPHER]
    _judge(_table(["warm up"]), operations)
    started = time.perf_counter()
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        parts = list(pool.map(lambda file: _file(file, operations), files))
    seconds = time.perf_counter() - started
    documents, kept, size = (sum(column) for column in zip(*parts, strict=True))
    return Run(seconds, documents, kept, size)


def run_datatrove(python: Path, files: Sequence[Path], workers: int | None = None) -> Run:
    """The same by datatrove, in its own environment."""
    workers = workers or len(os.sched_getaffinity(0))
    command = [str(python), str(PEER_SCRIPT), str(workers), *map(str, files)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return Run(**json.loads(result.stdout.splitlines()[-1]))


def write_corpus(folder: Path, size: int, files: int = 8) -> list[Path]:
    """The prose of the installed packages as JSON lines, at most about ``size`` bytes of text."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.jsonl" for number in range(files)]
    written = 0
    streams = [path.open("w") for path in paths]
    for number, text in enumerate(installed_texts()):
        streams[number % files].write(json.dumps({"id": str(number), "text": text}) + "\n")
        written += len(text.encode())
        if written >= size:
            break
    for stream in streams:
        stream.close()
    return paths


def installed_texts() -> Iterator[str]:
    site = Path(np.__file__).parents[1]
    # Gopher's rules drop nearly all code, so there would be little left for the later ones.
    prose = (".md", ".rst", ".txt")
    found = [p for p in site.rglob("*") if p.suffix in prose or p.name == "METADATA"]
    # In an order that mixes packages and does not change from run to run.
    for path in sorted(found, key=lambda p: hash_of(p.relative_to(site))):
        try:
            text = path.read_text()
        except (UnicodeDecodeError, OSError):
            continue
        if 200 <= len(text) <= 200_000:
            yield text


def hash_of(path: Path) -> int:
    """A number that is the same in every run."""
    import zlib

    return zlib.crc32(str(path).encode())


def _table(texts: list[str]) -> pa.Table:
    empty = pa.array([""] * len(texts), pa.large_string())
    columns = dict.fromkeys(DOCUMENTS.names, empty) | {
        "text": pa.array(texts, DOCUMENTS.field("text").type)
    }
    return pa.table(columns, schema=DOCUMENTS)


def _judge(documents: pa.Table, operations: Sequence[Operation]) -> pa.Table:
    for operation in operations:
        outcome = operation(documents)
        documents = outcome.documents
        if outcome.keep is not None:
            documents = keep_rows(documents, outcome.keep)
    return documents


def _file(file: Path, operations: Sequence[Operation]) -> tuple[int, int, int]:
    documents = kept = size = 0
    for texts in _batches(file):
        documents += len(texts)
        size += sum(map(len, map(str.encode, texts)))
        kept += len(_judge(_table(texts), operations))
    return documents, kept, size


def _batches(file: Path) -> Iterator[list[str]]:
    texts: list[str] = []
    size = 0
    with file.open("rb") as lines:
        for line in lines:
            texts.append(json.loads(line)["text"])
            size += len(line)
            if size >= BATCH_BYTES:
                yield texts
                texts, size = [], 0
    if texts:
        yield texts
