"""`./just bench-peers`: whoever comes while an environment is being built waits for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = """
from pathlib import Path
from peers import Peer, ROOT, build
build(ROOT / ".peers" / "small", Peer((str(ROOT / "small"),), "import small"))
"""
PROJECT = """
[project]
name = "small"
version = "1"
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info, name = "small-1.dist-info", "small-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{wheel_directory}/{name}", "w") as wheel:
        wheel.writestr("small.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: small\\nVersion: 1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


def test_of_two_that_want_it_at_once_one_builds_it(tmp_path):
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "setup", tmp_path / "setup", ignore=without)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "small" / "backend.py").write_text(BACKEND)
    where = {**os.environ, "PYTHONPATH": str(tmp_path / "setup"), "PIP_NO_INDEX": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD], env=where, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = sorted(process.communicate()[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    later, first = said
    assert first.startswith("peers: building .peers/small with ")
    assert first.splitlines()[-1].startswith("peers: .peers/small is ready after")
    assert later == "peers: .peers/small is up to date\n"
