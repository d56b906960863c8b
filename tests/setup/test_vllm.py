"""`./just vllm`: mistakes are told before an environment of gigabytes is made."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nn"], "vllm: checkpoint=nn: no such path, and there is no checkpoint yet"),
        (["m", "n"], "vllm: n: expected one NAME, port=8000, host=127.0.0.1, dtype=bfloat16"),
        (["prot=8001"], "vllm: checkpoint=prot=8001: no such path"),
        (["m", "port=x"], "vllm: port=x: expected a number"),
        (["m", "dtype=int3"], "vllm: dtype=int3: expected bfloat16 or float32"),
    ],
)
def test_mistakes(arguments, message, monkeypatch, tmp_path):
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path))
    command = [sys.executable, str(ROOT / "setup" / "vllm.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(message)
