"""Gopher's heuristics by datatrove, for `heuristics.py`; runs in datatrove's own environment.

    python datatrove_heuristics.py WORKERS FILE …

Prints one JSON object. The files are JSON lines in one folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def main() -> None:
    workers, files = int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as scratch:
        executor = LocalPipelineExecutor(
            pipeline=[
                JsonlReader(str(files[0].parent), glob_pattern="*.jsonl"),
                GopherRepetitionFilter(),
                GopherQualityFilter(),
                JsonlWriter(f"{scratch}/kept", compression=None),
            ],
            tasks=len(files),
            workers=workers,
            logging_dir=f"{scratch}/logs",
        )
        started = time.perf_counter()
        executor.run()
        seconds = time.perf_counter() - started
        kept = sum(p.read_bytes().count(b"\n") for p in Path(scratch, "kept").glob("*.jsonl"))
    lines = [json.loads(line)["text"] for file in files for line in file.open()]
    size = sum(len(text.encode()) for text in lines)
    result = {"seconds": seconds, "documents": len(lines), "kept": kept, "text_bytes": size}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
