"""The filters of datatrove that `all_dressed.py` compares; prints a JSON object.

Run with the Python of .peers/datatrove:
python benchmarks/curate/all_dressed_datatrove.py SOURCE OUTPUT LISTS WORKERS
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.filters import (
    C4QualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    URLFilter,
)
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from tldextract import TLDExtract


def main(source: Path, output: Path, workers: int) -> None:
    urls = URLFilter()
    urls.tldextractor = TLDExtract(suffix_list_urls=())  # its own list, not one of the network
    # Of C4's rules those that all-dressed has as well: short lines, and lines with some phrases.
    lines = C4QualityFilter(
        remove_citations=False,
        filter_no_terminal_punct=False,
        min_num_sentences=-1,
        min_words_per_line=2,
        max_word_length=-1,
        filter_lorem_ipsum=False,
        filter_javascript=False,
        filter_curly_bracket=False,
    )
    files = sorted(source.glob("*.jsonl"))
    executor = LocalPipelineExecutor(
        pipeline=[
            JsonlReader(str(source), glob_pattern="*.jsonl"),
            urls,
            GopherQualityFilter(),
            GopherRepetitionFilter(),
            lines,
            JsonlWriter(str(output / "kept")),
        ],
        tasks=len(files),
        workers=workers,
        logging_dir=str(output / "logs"),
    )
    urls.download_data()  # unpacks its lists, once a machine
    urls._downloaded = False
    started = time.perf_counter()
    executor.run()
    seconds = time.perf_counter() - started
    stats = json.loads((output / "logs" / "stats.json").read_text())
    kept = stats[-1]["stats"].get("total", 0)
    size = documents = 0
    for file in files:
        with file.open() as rows:
            for row in rows:
                documents += 1
                size += len(json.loads(row)["text"].encode())
    print(json.dumps({"seconds": seconds, "documents": documents, "kept": kept,
                      "text_bytes": size}))  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[4]))
