"""The heuristics of "all-dressed" that datatrove has counterparts of, MB of text a second.

From JSON lines to files: ours is the engine with the steps of ``conf/pipeline/all_dressed.yaml``,
theirs the local executor with its URL filter, Gopher's quality and repetition filters and C4's
rules about lines. Left out are the lists of RefinedWeb, which are not public, and what needs a
model of languages (English, MADLAD-400). Both take FineWeb's lists of 4.6 million domains, which
datatrove ships. What is measured is the run itself, with the start of its workers, on all cores;
Python's start and the compiling of loops come before. The two do not keep the same documents: what
is a word, and of what a share is taken, differs, and so do the rules about lines.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from comparison import compare

from .heuristics import DATATROVE, installed_texts

HERE = Path(__file__).parent
OURS, THEIRS = HERE / "all_dressed_olmoflow.py", HERE / "all_dressed_datatrove.py"
# OLMOFLOW_BENCH_MB makes a shorter trial, in which the start of workers and lists counts more.
MEGABYTES = float(os.environ.get("OLMOFLOW_BENCH_MB", "200"))
ROUNDS = 3
CASE = "all-dressed heuristics"
VERSIONS = {"datatrove": "0.10.1"}
LIMITS = {CASE: {"datatrove": 20.0}}


def run() -> list[dict[str, Any]]:
    if not DATATROVE.is_file():
        raise SystemExit("the peer is not there yet: ./just bench-peers datatrove")
    speeds: dict[str, list[float]] = {"olmoflow": [], "datatrove": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lists(folder / "lists")
        write_corpus(folder / "warm", 0.2)
        write_corpus(folder / "in", MEGABYTES)
        measure(sys.executable, OURS, folder / "warm", folder)
        for _ in range(ROUNDS):
            for name, python, script in (
                ("olmoflow", sys.executable, OURS),
                ("datatrove", str(DATATROVE), THEIRS),
            ):
                found = measure(python, script, folder / "in", folder)
                speeds[name].append(found["text_bytes"] / 1e6 / found["seconds"])
                print(f"{name}: {found}", file=sys.stderr, flush=True)
    return [compare(CASE, speeds["olmoflow"], speeds["datatrove"], "datatrove", "MB/s")]


def measure(python: str, script: Path, source: Path, folder: Path) -> dict[str, Any]:
    """One run in a process of its own: ``seconds``, ``documents``, ``kept``, ``text_bytes``."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        arguments = [str(source), output, str(folder / "lists"), str(cores())]
        done = subprocess.run(
            [python, str(script), *arguments], stdout=subprocess.PIPE, text=True, check=True,
            stderr=subprocess.DEVNULL if script is THEIRS else None,
        )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def cores() -> int:
    return len(os.sched_getaffinity(0))


def write_lists(folder: Path) -> None:
    """FineWeb's lists, as datatrove ships them, under the names that all-dressed has for them."""
    (assets,) = DATATROVE.parents[1].glob("lib/*/site-packages/datatrove/assets")
    target = folder / "fineweb_url_filters"
    target.mkdir(parents=True)
    for name in ("banned_words", "soft_banned_words", "banned_subwords"):
        data = (assets / f"{name}.txt").read_bytes()
        (target / f"{name}.txt.gz").write_bytes(gzip.compress(data))
    (archive,) = assets.glob("url_filterblacklists*.tar.gz")
    with tarfile.open(archive) as tar:
        for name in ("domains", "urls"):
            stream = tar.extractfile(name)
            assert stream is not None
            (target / f"{name}.txt.gz").write_bytes(gzip.compress(stream.read(), 1))


def write_corpus(folder: Path, megabytes: float) -> tuple[int, float]:
    """Prose of the installed packages as JSON lines, a file a core; how many documents and MB."""
    folder.mkdir(parents=True)
    streams = [(folder / f"{number:02}.jsonl").open("w") for number in range(cores())]
    written = 0
    for number, text in enumerate(varied()):
        host = f"{'www.' if number % 2 else ''}site{number % 9973}.example"
        row = {"id": str(number), "text": text, "url": f"https://{host}/pages/{number}.html"}
        streams[number % len(streams)].write(json.dumps(row) + "\n")
        written += len(text.encode())
        if written >= megabytes * 1e6:
            break
    for stream in streams:
        stream.close()
    return number + 1, written / 1e6


def varied() -> Iterator[str]:
    """The texts there are, and then again and again with their lines in another order."""
    texts = list(installed_texts())
    yield from texts
    draw = random.Random(0)
    while True:
        for text in texts:
            lines = text.split("\n")
            draw.shuffle(lines)
            yield "\n".join(lines)
