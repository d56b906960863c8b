"""Time and memory at four sizes of a corpus, and what 250B documents would cost.

    python benchmarks/curate/scaling.py [minhash | heuristics] [LARGEST_MB]

Sizes of 1/8, 1/4, 1/2 and all of LARGEST_MB (default 1,600). `minhash`: source files of the
environment; what goes beyond them are the same files with their words in another order, so that
lengths and words are real and nothing is a duplicate. `heuristics`: the prose and the steps of
`all_dressed`, through the engine, beyond what there is with its lines in another order. Writes
``results/curate_scaling.json`` and ``.svg``, or ``curate_scaling_heuristics.…``.

Memory is the highest sum over the run's processes, what they share counted once (Linux's PSS, read
ten times a second). The projection takes the slope of processor time over size, not the start-up.
Documents and bytes are those of Dolma 3's web pool (paper): 252.6B documents, 3.8 kB each as its
9.7B deduplicated ones have; the price is Ai2's own, $11,300 for 1,030 hours of a machine with 128
virtual cores.
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
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.schema import DOCUMENTS

HERE = Path(__file__).parent
# The folder of benchmarks, behind the standard library: one of them is called `tokenize`.
sys.path.append(str(HERE.parent))
from curate import all_dressed  # noqa: E402

RESULTS = HERE.parent / "results"
BANDS, ROWS, MEMORY = 26, 11, 256 << 20
SHARD_BYTES = 64 << 20
DOCUMENTS_THERE, BYTES_EACH = 250e9, 3800.0
DOLLARS_PER_CORE_HOUR = 11_300 / 1030 / 128


class Minhash:
    """MinHash deduplication of Parquet shards, from files to files."""

    title = f"MinHash deduplication, {BANDS} x {ROWS}, 5-grams, verified"
    file = "curate_scaling"

    def __init__(self, folder: Path) -> None:
        self.texts = _texts()

    def write(self, source: Path, megabytes: float) -> tuple[int, float]:
        """Write a corpus; how many documents and MB."""
        return _write(source, megabytes, self.texts)

    def command(self, source: Path, output: Path) -> list[str]:
        """What is measured."""
        arguments = [str(source), str(output), str(BANDS), str(ROWS), str(MEMORY)]
        return [sys.executable, str(HERE / "with_olmoflow.py"), *arguments]

    def project(self, points: list[dict[str, float]]) -> dict[str, Any]:
        """Cost of 250B documents."""
        projection = project(points)
        projection["signature_terabytes_on_disk"] = DOCUMENTS_THERE * BANDS * 16 / 1e12
        projection["union_find_gigabytes_a_shard_of_32"] = DOCUMENTS_THERE * 9 / 32 / 1e9
        projection["arithmetic"] += f"; {BANDS} bands x 16 B a document on disk, 9 B in memory"
        return projection


class Heuristics:
    """The steps of all-dressed that need no model of languages, through the engine."""

    title = "heuristics of all-dressed"
    file = "curate_scaling_heuristics"

    def __init__(self, folder: Path) -> None:
        self.lists = folder / "lists"
        all_dressed.write_lists(self.lists)

    def write(self, source: Path, megabytes: float) -> tuple[int, float]:
        """Write a corpus; how many documents and MB."""
        return all_dressed.write_corpus(source, megabytes)

    def command(self, source: Path, output: Path) -> list[str]:
        """What is measured."""
        arguments = [str(source), str(output), str(self.lists), str(all_dressed.cores())]
        return [sys.executable, str(all_dressed.OURS), *arguments]

    def project(self, points: list[dict[str, float]]) -> dict[str, Any]:
        """Cost of 250B documents."""
        return project(points)


def main(case: str, largest: float) -> None:
    """Measure, project, write and plot."""
    sizes = [largest / 8, largest / 4, largest / 2, largest]
    points = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        measured = {"minhash": Minhash, "heuristics": Heuristics}[case](folder)
        for size in (min(2.0, largest / 8), *sizes):  # the first one compiles
            source = folder / "in"
            number, written = measured.write(source, size)
            found = _measure(measured.command(source, folder / "output"))
            points.append({"megabytes": written, "documents": number, **found})
            print(points[-1], file=sys.stderr, flush=True)
            shutil.rmtree(source)
            shutil.rmtree(folder / "output")
    del points[0]
    record = {"points": points, "projection": measured.project(points)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{measured.file}.json").write_text(json.dumps(record, indent=2) + "\n")
    _plot(points, measured.title, RESULTS / f"{measured.file}.svg")
    print(json.dumps(record["projection"], indent=2))


def project(points: list[dict[str, float]]) -> dict[str, Any]:
    """What 250B documents cost at the slope of processor time, with the arithmetic in words."""
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
        "arithmetic": (
            f"{DOCUMENTS_THERE:.3g} documents x {BYTES_EACH:.0f} B = {terabytes:.0f} TB; "
            f"/ {rate:.1f} MB/s a core = {hours:,.0f} core hours; "
            f"x ${DOLLARS_PER_CORE_HOUR:.3f} = ${hours * DOLLARS_PER_CORE_HOUR:,.0f}"
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


def _measure(command: list[str]) -> dict[str, float]:
    """Time and memory of a process and those that it starts."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        peak = max(peak, sum(map(_pss_kib, _family(process.pid))))
        time.sleep(0.1)
    seconds = time.perf_counter() - start
    _, status, usage = ended
    if status:
        raise SystemExit(f"{command[1]} ended with {status}")
    return {
        "seconds": seconds,
        "core_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": peak / 1024,
    }


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in file.read_text().split():
                found += _family(int(child))
    return found


def _pss_kib(pid: int) -> int:
    """Memory of a process, what it shares with others in parts; 0 when it has ended."""
    with suppress(OSError, ValueError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.partition("\nPss:")[2].split()[0])
    return 0


def _plot(points: list[dict[str, float]], title: str, file: Path) -> None:
    matplotlib.use("svg")
    from matplotlib import pyplot

    sizes = [point["megabytes"] for point in points]
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, name, label in zip(
        axes, ("seconds", "peak_mib"), ("time (s)", "peak memory (MiB)"), strict=True
    ):
        axis.plot(sizes, [point[name] for point in points], "o-")
        axis.set(xlabel="corpus (MB of text)", ylabel=label, xlim=(0, None))
        axis.set_ylim(0, 1.06 * axis.get_ylim()[1])  # the highest point stays whole
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(file)


if __name__ == "__main__":
    names = [a for a in sys.argv[1:] if not a[0].isdigit()]
    sizes_given = [float(a) for a in sys.argv[1:] if a[0].isdigit()]
    main(names[0] if names else "minhash", sizes_given[0] if sizes_given else 1600.0)
