"""MinHash deduplication of Parquet shards with ``olmoflow curate``, from files to a corpus.

python benchmarks/curate/with_command.py INPUT OUTPUT BANDS ROWS
"""

from __future__ import annotations

import os
import sys


def main(source: str, target: str, bands: str, rows: str) -> None:
    """Become the command, as a user would start it."""
    os.environ["OLMOFLOW_HOME"] = target
    step = f"{{name: minhash_dedup, bands: {bands}, rows: {rows}, ngram: 5, annotate: null}}"
    command = ["curate", "pipeline=steps", f"source={source}", f"pipeline.steps=[{step}]"]
    options = ["runtime.progress=false", "output=json"]
    os.execv(sys.executable, [sys.executable, "-m", "olmoflow", *command, *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
