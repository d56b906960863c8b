"""MinHash deduplication of Parquet shards with olmoflow, from files to files.

python benchmarks/curate/with_olmoflow.py INPUT OUTPUT BANDS ROWS [MEMORY]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as parquet

from olmoflow.curate.dedup import MinHashDedup


def main(source: Path, target: Path, bands: int, rows: int, memory: int = 1 << 30) -> None:
    """Write the documents that stay."""
    shards = sorted(source.glob("*.parquet"))
    stage = MinHashDedup(bands=bands, rows=rows, ngram=5, memory=memory)
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=target) as scratch:
        for shard, decisions in zip(shards, stage.decide(shards, Path(scratch)), strict=True):
            keep, row = decisions.column("keep").combine_chunks(), 0
            with parquet.ParquetFile(shard) as file:
                writer = parquet.ParquetWriter(target / shard.name, file.schema_arrow)
                for batch in file.iter_batches(1000):
                    writer.write_batch(batch.filter(keep.slice(row, len(batch))))
                    row += len(batch)
                writer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:]))
