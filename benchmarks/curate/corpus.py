"""The corpus of the curation benchmarks: source files of installed packages, as Parquet shards.

Some files are reduced to their letters and come twice, the second time with words exchanged here
and there, so that the Jaccard similarity of their 5-grams is known; who finds how many of these
pairs is recall. Of letters and spaces alone every tool makes the same words: datatrove takes
punctuation for spaces and all numbers for one, so other pairs are nearer to each other for it.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import string
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import zstandard

from olmoflow.curate.schema import DOCUMENTS

N = 5
_DELETED = str.maketrans("", "", string.punctuation)


def source_files(megabytes: float) -> Iterator[tuple[str, str]]:
    """Paths and texts in an order without a pattern, until there is enough."""
    root = Path(sysconfig.get_paths()["purelib"])
    files = sorted(
        (path.relative_to(root).as_posix() for path in root.rglob("*.py")),
        key=lambda name: hashlib.sha256(name.encode()).digest(),
    )
    total = 0
    for name in files:
        data = (root / name).read_bytes()
        if 200 <= len(data) <= 1 << 20 and b"\0" not in data:
            try:
                yield name, data.decode()
            except UnicodeDecodeError:
                continue
            total += len(data)
        if total >= megabytes * 1e6:
            break


def write(folder: Path, megabytes: float, planted: int, shards: int = 8) -> dict[str, float]:
    """Write ``folder/shards/*.parquet`` and ``folder/pairs.json``; documents, MB and similarity."""
    documents = dict(source_files(megabytes))
    draw = random.Random(0)
    names = [name for name, text in documents.items() if len(text.split()) >= 100]
    pairs = {}
    for number, name in enumerate(draw.sample(names, min(planted, len(names)))):
        plain = " ".join(re.findall("[a-z]+", documents[name].lower()))
        copy = _with_other_words(plain, draw.uniform(0.004, 0.02), _letters(number), draw)
        similarity = jaccard(plain, copy)
        if similarity >= 0.8:
            pairs[name] = similarity
            documents[name], documents[f"{name}#copy"] = plain, copy
    order = sorted(documents, key=lambda name: hashlib.sha256(f"1{name}".encode()).digest())
    (folder / "shards").mkdir(parents=True)
    for shard in range(shards):
        _write_shard(folder / "shards" / f"{shard:05}.parquet", order[shard::shards], documents)
    (folder / "pairs.json").write_text(json.dumps(pairs))
    size = sum(len(text.encode()) for text in documents.values()) / 1e6
    mean = sum(pairs.values()) / max(1, len(pairs))
    return {"documents": len(documents), "megabytes": size, "pairs": len(pairs), "jaccard": mean}


def _write_shard(file: Path, names: list[str], documents: dict[str, str]) -> None:
    empty = [""] * len(names)
    columns = {field.name: pa.array(empty, field.type) for field in DOCUMENTS}
    columns["id"] = pa.array(names, pa.large_string())
    columns["text"] = pa.array([documents[name] for name in names], pa.large_string())
    columns["metadata"] = pa.array(["{}"] * len(names), pa.large_string())
    parquet.write_table(pa.table(columns), file, compression="zstd", row_group_size=1000)


def _with_other_words(text: str, rate: float, word: str, draw: random.Random) -> str:
    """The text with some of its words exchanged for words that stand nowhere else."""
    words = text.split(" ")
    for place, old in enumerate(words):
        if old and draw.random() < rate:
            words[place] = f"{word}q{_letters(place)}"
    return " ".join(words)


def _letters(number: int) -> str:
    """A number as a word."""
    return "z" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def ngrams(text: str) -> set[tuple[str, ...]]:
    """Those that MinHash compares: of words in lower case without punctuation."""
    words = text.lower().translate(_DELETED).split()
    return {tuple(words[i : i + N]) for i in range(max(1, len(words) - N + 1))}


def jaccard(left: str, right: str) -> float:
    """Similarity of two texts."""
    a, b = ngrams(left), ngrams(right)
    return len(a & b) / len(a | b)


def recall(folder: Path, output: Path) -> float:
    """Share of the planted pairs of which not both are left in Parquet or JSON lines files."""
    pairs = json.loads((folder / "pairs.json").read_text())
    left: set[str] = set()
    for file in output.rglob("*.parquet"):
        left |= set(parquet.read_table(file, columns=["id"]).column("id").to_pylist())
    for file in output.rglob("*.jsonl.zst"):
        with zstandard.open(file, "rt", encoding="utf-8") as rows:
            left |= {json.loads(row)["id"] for row in rows}
    return sum(not {name, f"{name}#copy"} <= left for name in pairs) / max(1, len(pairs))
