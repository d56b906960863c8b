"""Time and memory of MinHash deduplication at four sizes of a corpus, and what 250B would cost.

    python benchmarks/curate/scaling.py [LARGEST_MB]

Sizes of 1/8, 1/4, 1/2 and all of LARGEST_MB (default 1,600). Source files of the environment; what
goes beyond them are the same files with their words in another order, so that lengths and words
are real and nothing is a duplicate. Writes ``results/curate_scaling.json`` and ``.svg``.

The projection takes the slope of processor time over size, not the start-up. Documents and bytes
are those of Dolma 3's web pool (paper): 252.6B documents, 3.8 kB each as its 9.7B deduplicated ones
have; the price is Ai2's own, $11,300 for 1,030 hours of a machine with 128 virtual cores.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.schema import DOCUMENTS

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
BANDS, ROWS, MEMORY = 26, 11, 256 << 20
SHARD_BYTES = 64 << 20
DOCUMENTS_THERE, BYTES_EACH = 250e9, 3800.0
DOLLARS_PER_CORE_HOUR = 11_300 / 1030 / 128


def main(largest: float) -> None:
    """Measure, project, write and plot."""
    sizes = [largest / 8, largest / 4, largest / 2, largest]
    points = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        documents = _texts()
        warm = folder / "warm"
        _write(warm, 2, documents)
        _measure(warm, folder / "warm-output")
        for size in sizes:
            source = folder / f"{size:.0f}"
            number, written = _write(source, size, documents)
            measured = _measure(source, folder / "output")
            points.append({"megabytes": written, "documents": number, **measured})
            print(points[-1], file=sys.stderr, flush=True)
            shutil.rmtree(source)
            shutil.rmtree(folder / "output")
    record = {"points": points, "projection": project(points)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "curate_scaling.json").write_text(json.dumps(record, indent=2) + "\n")
    _plot(points, RESULTS / "curate_scaling.svg")
    print(json.dumps(record["projection"], indent=2))


def project(points: list[dict[str, float]]) -> dict[str, Any]:
    """Cost of 250B documents, with the arithmetic in words."""
    sizes = [point["megabytes"] for point in points]
    slope, start = np.polyfit(sizes, [point["core_seconds"] for point in points], 1)
    rate = 1 / slope
    terabytes = DOCUMENTS_THERE * BYTES_EACH / 1e12
    hours = terabytes * 1e6 / rate / 3600
    return {
        "start_up_core_seconds": float(start),
        "megabytes_per_core_second": float(rate),
        "corpus_terabytes": terabytes,
        "core_hours": float(hours),
        "dollars": float(hours * DOLLARS_PER_CORE_HOUR),
        "signature_terabytes_on_disk": DOCUMENTS_THERE * BANDS * 16 / 1e12,
        "union_find_gigabytes_a_shard_of_32": DOCUMENTS_THERE * 9 / 32 / 1e9,
        "arithmetic": (
            f"{DOCUMENTS_THERE:.3g} documents x {BYTES_EACH:.0f} B = {terabytes:.0f} TB; "
            f"/ {rate:.1f} MB/s a core = {hours:,.0f} core hours; "
            f"x ${DOLLARS_PER_CORE_HOUR:.3f} = ${hours * DOLLARS_PER_CORE_HOUR:,.0f}; "
            f"{BANDS} bands x 16 B a document on disk, 9 B a document in memory"
        ),
    }


def _texts() -> list[str]:
    root = Path(sysconfig.get_paths()["purelib"])
    texts = []
    for file in sorted(root.rglob("*.py")):
        data = file.read_bytes()
        if 200 <= len(data) <= 1 << 20:
            texts.append(data.decode(errors="replace"))
    random.Random(0).shuffle(texts)
    return texts


def _write(folder: Path, megabytes: float, texts: list[str]) -> tuple[int, float]:
    """Write shards until there is enough; how many documents and MB."""
    folder.mkdir()
    shard: list[str] = []
    number, size, held = 0, 0, 0
    draw = random.Random(1)
    while size < megabytes * 1e6:
        text = texts[number % len(texts)]
        if number >= len(texts):
            words = text.split()
            draw.shuffle(words)
            text = " ".join(words)
        shard.append(text)
        number += 1
        held += len(text.encode())
        size += len(text.encode())
        if held >= SHARD_BYTES or size >= megabytes * 1e6:
            columns = {field.name: pa.array([""] * len(shard), field.type) for field in DOCUMENTS}
            columns["text"] = pa.array(shard, pa.large_string())
            file = folder / f"{number:09}.parquet"
            parquet.write_table(pa.table(columns), file, compression="zstd", row_group_size=1000)
            shard, held = [], 0
    return number, size / 1e6


def _measure(source: Path, target: Path) -> dict[str, float]:
    """Time and memory of a process that deduplicates."""
    arguments = [str(source), str(target), str(BANDS), str(ROWS), str(MEMORY)]
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(HERE / "with_olmoflow.py"), *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"with_olmoflow.py ended with {status}")
    return {
        "seconds": seconds,
        "core_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def _plot(points: list[dict[str, float]], file: Path) -> None:
    matplotlib.use("svg")
    from matplotlib import pyplot

    sizes = [point["megabytes"] for point in points]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, name, label in zip(
        axes, ("seconds", "peak_mib"), ("time (s)", "peak memory (MiB)"), strict=True
    ):
        axis.plot(sizes, [point[name] for point in points], "o-")
        axis.set(xlabel="corpus (MB of text)", ylabel=label, ylim=(0, None), xlim=(0, None))
        axis.grid(alpha=0.3)
    figure.suptitle(f"MinHash deduplication, {BANDS} x {ROWS}, 5-grams, verified")
    figure.savefig(file)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1600.0)
