"""Operations and stages of a few lines, in a module that worker processes find as well."""

import io
import json
import os
import sys
from importlib import invalidate_caches

import pytest
import zstandard

from olmoflow.curate.pipeline import registry

MODULE = '''
"""Steps for tests."""
import os
import time
from pathlib import Path
import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as parquet
from olmoflow.curate.operations.operation import Outcome
from olmoflow.curate.schema import with_field

class Longer:
    def __init__(self, lower_bound: int = 0):
        self.lower_bound = lower_bound
    def __call__(self, documents):
        sizes = compute.binary_length(documents.column("text")).to_numpy()
        return Outcome(documents, sizes >= self.lower_bound)

class Upper:
    def __call__(self, documents):
        upper = compute.utf8_upper(documents.column("text"))
        return Outcome(with_field(documents, "text", upper))

class Score:
    """Half a point a digit at the end of the id; only rows that have one get the column."""
    def __init__(self, field: str = "metadata.quality.score"):
        self.field = field
    def __call__(self, documents):
        scores = [int(i[-1]) / 10 if i[-1].isdigit() else None for i in documents["id"].to_pylist()]
        return Outcome(with_field(documents, self.field, pa.array(scores, pa.float64())))

class Picky:
    """Cannot work on texts with an exclamation mark."""
    def __call__(self, documents):
        texts = documents["text"].to_pylist()
        return Outcome(documents, errors={n: "exclaims" for n, t in enumerate(texts) if "!" in t})

class Dies:
    """Kills its process, or its parent's group, once: when a file is there, which it removes."""
    def __init__(self, file: str, whom: str = "worker"):
        self.file, self.whom = file, whom
    def __call__(self, documents):
        try:
            Path(self.file).unlink()
        except FileNotFoundError:
            return Outcome(documents)
        if self.whom == "full":
            raise OSError(28, "No space left on device", "somewhere")
        os.kill(os.getpid() if self.whom == "worker" else int(os.environ["MAIN"]), 9)
        time.sleep(60)

class FirstOfText:
    """A stage: keeps the first document of each text."""
    def decide(self, shards, scratch, progress=None):
        seen = set()
        for shard in shards:
            texts = parquet.read_table(shard, columns=["text"])["text"].to_pylist()
            keep = [t not in seen and not seen.add(t) for t in texts]
            yield pa.table({
                "keep": keep,
                "reason": pa.array([None if k else "seen before" for k in keep], pa.string()),
                "metadata.first": keep,
            })
        self.figures = {"texts": len(seen), "cluster_sizes": {"2": 1}}
'''


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """A function that makes steps of a list of nodes."""
    folder = tmp_path / "steps"
    folder.mkdir()
    (folder / "tiny_steps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    sys.modules.pop("tiny_steps", None)
    invalidate_caches()
    import tiny_steps

    names = {
        "longer": tiny_steps.Longer,
        "upper": tiny_steps.Upper,
        "score": tiny_steps.Score,
        "picky": tiny_steps.Picky,
        "dies": tiny_steps.Dies,
    }
    monkeypatch.setattr(registry, "map_operations", lambda: names)
    monkeypatch.setitem(registry.STAGES, "first_of_text", "tiny_steps.FirstOfText")
    from olmoflow.curate.pipeline.plan import steps_of

    return lambda *nodes: tuple(steps_of(nodes))


@pytest.fixture
def write(tmp_path):
    """A function that writes JSON lines and returns their path."""

    def write_rows(name, rows):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write_rows


@pytest.fixture
def corpus_rows():
    return _corpus_rows


@pytest.fixture
def files_of():
    return _files_of


def _corpus_rows(corpus):
    """All documents of a corpus by id, with the split in which they are."""
    rows = {}
    for path in sorted(corpus.glob("*/**/*.jsonl.zst")):
        with path.open("rb") as file:
            stream = zstandard.ZstdDecompressor().stream_reader(file)
            for line in io.TextIOWrapper(stream, "utf-8"):
                row = json.loads(line)
                assert row["id"] not in rows
                rows[row["id"]] = {**row, "split": path.relative_to(corpus).parts[0]}
    return rows


def _files_of(corpus):
    """The bytes of each file but the one that has the seconds that steps took."""
    return {
        p.relative_to(corpus).as_posix(): p.read_bytes()
        for p in corpus.rglob("*")
        if p.is_file() and p.name != "steps.json"
    }
