"""MinHash deduplication of Parquet shards with datatrove, from files to files.

Run with the Python of .peers/datatrove:
python benchmarks/curate/with_datatrove.py INPUT OUTPUT BANDS ROWS WORKERS
"""

from __future__ import annotations

import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.hashing import HashConfig


def main(source: Path, target: Path, bands: int, rows: int, workers: int) -> None:
    """Write the documents that stay."""
    config = MinhashConfig(
        n_grams=5,
        num_buckets=bands,
        hashes_per_bucket=rows,
        hash_config=HashConfig(precision=64),
    )
    tasks = len(list(source.glob("*.parquet")))
    reader = ParquetReader(str(source), read_metadata=False)
    signatures, buckets, removed = (
        str(target / name) for name in ("signatures", "buckets", "removed")
    )
    stages = [
        ([reader, MinhashDedupSignature(signatures, config)], tasks),
        ([MinhashDedupBuckets(signatures, buckets, config=config)], bands),
        ([MinhashDedupCluster(buckets, removed, config)], 1),
        ([reader, MinhashDedupFilter(removed), ParquetWriter(str(target / "kept"))], tasks),
    ]
    for place, (pipeline, number) in enumerate(stages):
        logs = str(target / "logs" / str(place))
        LocalPipelineExecutor(pipeline, tasks=number, workers=workers, logging_dir=logs).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(number) for number in sys.argv[3:]))
