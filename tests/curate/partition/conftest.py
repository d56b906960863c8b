"""Shards of documents for the steps over the whole corpus."""

import pyarrow as pa
import pytest

from olmoflow.curate.pipeline.account import Account
from olmoflow.curate.pipeline.shards import ShardWriter, read_batches
from olmoflow.curate.schema import DOCUMENTS


def table(rows):
    """Documents of dicts; keys that are no columns of their own become annotations."""
    documents = {
        name: [row.get(name, "" if name != "metadata" else "{}") for row in rows]
        for name in DOCUMENTS.names
    }
    found = pa.table(documents, schema=DOCUMENTS)
    for name in dict.fromkeys(k for row in rows for k in row if k not in DOCUMENTS.names):
        found = found.append_column(name, pa.array([row.get(name) for row in rows]))
    return found


class Corpus:
    """Writes shards and runs steps on them."""

    def __init__(self, folder):
        self.folder, self.runs = folder, 0

    def write(self, rows, cuts=()):
        """Shards of rows, cut at these places."""
        self.runs += 1
        ends = [*cuts, len(rows)]
        shards = []
        for number, (start, end) in enumerate(zip([0, *cuts], ends, strict=True)):
            path = self.folder / f"in{self.runs}" / f"{number:05d}.parquet"
            writer = ShardWriter(path)
            for first in range(start, end, 7):
                writer.write(table(rows[first : min(first + 7, end)]))
            writer.close()
            shards.append(path)
        return shards

    def rearrange(self, step, shards):
        """What is written, by file in their order: documents as dicts; and the account."""
        self.runs += 1
        output, scratch = (self.folder / f"{name}{self.runs}" for name in ("out", "scratch"))
        output.mkdir()
        scratch.mkdir()
        account = Account("step")
        step.rearrange(shards, output, scratch, account, lambda done, total: None)
        found = {}
        for path in sorted(output.rglob("*.parquet")):
            batches = [row for batch in read_batches(path) for row in batch.to_pylist()]
            found[path.relative_to(output).as_posix()] = batches
        return found, account

    def decide(self, step, shards):
        """The decisions about all documents, one after the other."""
        self.runs += 1
        scratch = self.folder / f"scratch{self.runs}"
        scratch.mkdir()
        tables = list(step.decide(shards, scratch))
        assert len(tables) == len(shards)
        return [row for each in tables for row in each.to_pylist()]


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path)
