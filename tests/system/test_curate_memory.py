"""A corpus four times larger than the memory that the run takes."""

import json
import os
import subprocess
import sys

import pytest
import zstandard

pytestmark = pytest.mark.system

MAIN = """
import json, resource, sys
from pathlib import Path
from olmoflow.curate.pipeline.engine import Pipeline, run_pipeline
from olmoflow.curate.pipeline.plan import steps_of
steps = steps_of([
    {"name": "group_filter", "group_keys": ["metadata.group"]}, "shuffle", {"name": "reshard"},
])
result = run_pipeline(Pipeline(tuple(steps), (sys.argv[1],)), Path(sys.argv[2]), workers=1)
# ru_maxrss of this process would begin with what the process that started it held.
status = Path("/proc/self/status").read_text()
own = int(status.partition("VmHWM:")[2].split()[0])
peaks = [own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]
print(json.dumps({"documents": sum(result.documents.values()), "peaks": peaks,
                  "bytes": result.accounts[0].before.bytes}))
"""
FILES, DOCUMENTS, WORDS = 20, 2000, 12_500


def write(folder, files, documents):
    folder.mkdir()
    for number in range(files):
        with zstandard.open(folder / f"{number}.jsonl.zst", "wb") as file:
            for n in range(documents):
                place = number * documents + n
                text = f"{place} word " * (WORDS // 2)
                row = {"id": str(place), "text": text, "metadata": {"group": place // 2}}
                file.write(json.dumps(row).encode() + b"\n")


def curate(source, corpus):
    command = [sys.executable, "-c", MAIN, str(source), str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_memory_stays_below_a_quarter_of_the_corpus(tmp_path):
    write(tmp_path / "in", FILES, DOCUMENTS)
    found = curate(tmp_path / "in", tmp_path / "corpus")
    assert found["documents"] == FILES * DOCUMENTS // 2
    assert found["bytes"] > 2.5e9
    # Of the command's own process and of its worker, each with Python and its libraries.
    assert sum(found["peaks"]) * 1024 * 4 < found["bytes"]
