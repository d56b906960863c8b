"""A disk that really is full: one line, and the same command goes on once there is room."""

import json
import os
import random
import subprocess
import sys

import pytest

pytestmark = pytest.mark.system


@pytest.fixture
def disk(tmp_path):
    """A file system of 6 MB in memory; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_in_one_line_and_the_work_goes_on(disk, tmp_path):
    letters = random.Random(0)
    (tmp_path / "in").mkdir()
    for name in "abc":
        rows = [
            {"id": f"{name}{n}", "text": "".join(letters.choices("abcdefghijklmnop ", k=4000))}
            for n in range(700)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "in" / f"{name}.jsonl").write_text(text)
    sources = ",".join(str(tmp_path / "in" / f"{name}.jsonl") for name in "abc")
    command = [
        sys.executable, "-m", "olmoflow", "curate", "pipeline=steps", "pipeline.steps=[shuffle]",
        f"source=[{sources}]", "name=c", "output=json", "runtime.progress=false",
    ]  # fmt: skip
    where = {**os.environ, "OLMOFLOW_HOME": str(disk / "artifacts")}
    full = subprocess.run(command, env=where, capture_output=True, text=True)
    assert full.returncode == 2
    (line,) = full.stderr.strip().splitlines()
    assert "No space left on device; make room and run the same command again" in line
    subprocess.run(["mount", "-o", "remount,size=80m", disk], check=True)
    done = subprocess.run(command, env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sum(json.loads(done.stdout)["documents"].values()) == 2100
