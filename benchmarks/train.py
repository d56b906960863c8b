"""Training tokens/s and memory of one step: ours, `transformers` and OLMo-core, on the CPU.

    ./just bench-peers       # once
    ./just bench train

12.6M parameters (d 256, 8 layers, 4 heads, FFN 1024, vocabulary 8192, window 256), sequences of
512, 8 a batch. Every trainer lives in a process of its own and they take turns; one process at a
time works. Ours is measured through `fit` with its metrics of every step, the others as bare loops.
A data type that the processor multiplies far more slowly than fp32 is left out: nobody would choose
it there. `matrix products` is the share of the processor's rate for them that ours reaches.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from comparison import compare

from olmoflow.train.hardware import measured_flops

HERE = Path(__file__).parent / "trainers"
sys.path.insert(0, str(HERE))
from task import BATCH, SEQUENCE  # noqa: E402
from with_olmoflow import CONFIG  # noqa: E402

OLMO_CORE = HERE.parents[1] / ".peers" / "olmo-core" / "bin" / "python"
WARM_UP, STEPS, ROUNDS = 3, 3, 7
VERSIONS = {"ai2-olmo-core": "3.0.0"}
LIMITS = {"float32 eager": {"ai2-olmo-core": 1.0}, "float32 compiled": {"ai2-olmo-core": 1.0}}


class Trainer:
    """A process that trains when it is told to."""

    def __init__(self, python: str, script: str, dtype: str, mode: str) -> None:
        command = [python, str(HERE / script), dtype, mode]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, line: str) -> float:
        """Send a request and wait for the figure."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")
        return float(json.loads(answer))

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def run() -> list[dict[str, Any]]:
    if not OLMO_CORE.is_file():
        raise SystemExit("the peer is not there yet: ./just bench-peers")
    rates = {name: measured_flops(getattr(torch, name), seconds=2) for name in _DTYPES}
    rows: list[dict[str, Any]] = []
    for dtype, rate in rates.items():
        if rate < rates["float32"] / 2:
            print(f"{dtype}: {rate / 1e9:.0f} GFLOP/s here, left out", file=sys.stderr)
            continue
        for mode in ("eager", "compile"):
            rows += _measure(dtype, mode, rate)
    return rows


_DTYPES = ("float32", "bfloat16")


def _measure(dtype: str, mode: str, rate: float) -> list[dict[str, Any]]:
    trainers = {
        "olmoflow": Trainer(sys.executable, "with_olmoflow.py", dtype, mode),
        "transformers": Trainer(sys.executable, "with_transformers.py", dtype, mode),
        "ai2-olmo-core": Trainer(str(OLMO_CORE), "with_olmo_core.py", dtype, mode),
    }
    for trainer in trainers.values():
        trainer.ask(str(WARM_UP))
    speeds: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(ROUNDS):
        for name, trainer in trainers.items():
            seconds = trainer.ask(str(STEPS))
            speeds[name].append(STEPS * BATCH * SEQUENCE / seconds)
    memory = {name: trainer.ask("") for name, trainer in trainers.items()}
    for trainer in trainers.values():
        trainer.close()
    case = f"{dtype} {'compiled' if mode == 'compile' else mode}"
    ours, ours_memory = speeds.pop("olmoflow"), memory.pop("olmoflow")
    rows = []
    for peer, theirs in speeds.items():
        rows.append(compare(case, ours, theirs, peer, "tokens/s"))
        rows.append(compare(case, [ours_memory], [memory[peer]], peer, "MiB", metric="memory"))
    reached = [speed * CONFIG.flops_per_token(SEQUENCE) / 1e9 for speed in ours]
    rates = [rate / 1e9] * len(reached)
    return [*rows, compare(case, reached, rates, "matrix products", "GFLOP/s")]
