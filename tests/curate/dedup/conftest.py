"""Corpora as shards on disk, and the decisions of a stage over all of them."""

import itertools
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from olmoflow.curate.schema import DOCUMENTS


@dataclass
class Corpus:
    """Shards and what a stage says of their documents."""

    folder: object

    def decide(self, stage, texts, cuts=(), row_group=1000, **columns):
        """The decisions as one table; ``cuts`` says before which documents a new shard starts."""
        table = documents(texts, **columns)
        runs = sum(1 for _ in self.folder.iterdir())
        home = self.folder / str(runs)
        scratch = home / "scratch"
        scratch.mkdir(parents=True)
        shards = []
        for low, high in itertools.pairwise([0, *cuts, len(texts)]):
            shards.append(home / f"{len(shards)}.parquet")
            parquet.write_table(table.slice(low, high - low), shards[-1], row_group_size=row_group)
        tables = list(stage.decide(shards, scratch))
        assert [len(part) for part in tables] == [
            high - low for low, high in itertools.pairwise([0, *cuts, len(texts)])
        ]
        decided = pa.concat_tables(tables)
        # What is dropped has a reason, and nothing else.
        dropped = [not keep for keep in decided.column("keep").to_pylist()]
        assert dropped == decided.column("reason").is_valid().to_pylist()
        return decided


def documents(texts, **columns):
    number = len(texts)
    table = {name: pa.array([""] * number, pa.large_string()) for name in DOCUMENTS.names}
    table["id"] = pa.array([str(i) for i in range(number)], pa.large_string())
    table["text"] = pa.array(texts, pa.large_string())
    table["metadata"] = pa.array(["{}"] * number, pa.large_string())
    for name, values in columns.items():
        table[name] = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.table(table)


@pytest.fixture
def corpus(tmp_path):
    return Corpus(tmp_path)
