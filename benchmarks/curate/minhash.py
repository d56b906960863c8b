"""MinHash deduplication end to end, documents a second: ours and datatrove, from files to files.

253 MB of source files, 1,000 of them with a planted near duplicate, 26 bands of 11 rows, 5-grams,
all cores. Ours verifies its candidates, datatrove cannot. Each starts a process a turn, whose whole
time counts; ours has compiled its loops before. Ours is measured twice: the stage alone, from
Parquet to Parquet as datatrove's, and through ``olmoflow curate``, which besides makes ids unique,
splits the documents, writes JSON lines, digests of all files and the report. `recall` is the share
of the planted pairs that each one found. Both draw their permutations from the same curve, so two
right recalls differ by the sampling error of 1,000 pairs, about 0.005.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from comparison import compare

from . import corpus

HERE = Path(__file__).parent
DATATROVE = HERE.parents[1] / ".peers" / "datatrove" / "bin" / "python"
BANDS, ROWS = 26, 11
# OLMOFLOW_BENCH_MB makes a shorter trial.
MEGABYTES = float(os.environ.get("OLMOFLOW_BENCH_MB", "253"))
PLANTED, ROUNDS = 1000, 3
VERSIONS = {"datatrove": "0.10.1"}
CASE = f"MinHash {BANDS} x {ROWS}, 5-grams"
COMMAND = f"{CASE}, olmoflow curate"
LIMITS = {CASE: {"datatrove": 30.0}, f"{CASE}, recall": {"datatrove": 0.99}}


def run() -> list[dict[str, Any]]:
    if not DATATROVE.is_file():
        raise SystemExit("the peer is not there yet: ./just bench-peers datatrove")
    cores = len(os.sched_getaffinity(0))
    commands = {
        "olmoflow": [sys.executable, str(HERE / "with_olmoflow.py")],
        "olmoflow curate": [sys.executable, str(HERE / "with_command.py")],
        "datatrove": [str(DATATROVE), str(HERE / "with_datatrove.py")],
    }
    speeds: dict[str, list[float]] = {name: [] for name in commands}
    recalls: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small", folder / "large"
        corpus.write(small, 2, 10)
        for number, name in enumerate(("olmoflow", "olmoflow curate")):
            _seconds(commands[name], small, folder / f"warm-{number}")
        figures = corpus.write(large, MEGABYTES, PLANTED)
        print(figures, file=sys.stderr)
        for turn in range(ROUNDS):
            for name, command in commands.items():
                output = folder / f"{name}-{turn}"
                extra = [str(cores)] if name == "datatrove" else []
                seconds = _seconds(command, large, output, *extra)
                speeds[name].append(figures["documents"] / seconds)
                kept = output / "kept" if name == "datatrove" else output
                recalls[name].append(corpus.recall(large, kept))
                print(f"{name}: {seconds:.1f} s, recall {recalls[name][-1]:.4f}", file=sys.stderr)
    return [
        compare(CASE, speeds["olmoflow"], speeds["datatrove"], "datatrove", "documents/s"),
        compare(
            COMMAND, speeds["olmoflow curate"], speeds["datatrove"], "datatrove", "documents/s"
        ),
        compare(f"{CASE}, recall", recalls["olmoflow"], recalls["datatrove"], "datatrove", "share"),
    ]


def _seconds(command: list[str], source: Path, target: Path, *extra: str) -> float:
    """Run a process and measure it."""
    arguments = [str(source / "shards"), str(target), str(BANDS), str(ROWS), *extra]
    start = time.perf_counter()
    subprocess.run(
        [*command, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start
