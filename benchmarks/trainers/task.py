"""The task of all trainers, and how each is measured: it stays alive and trains in its turn.

`benchmarks/train.py` starts one process for each trainer and gives them turns, so that whatever
else the machine does meets all of them alike. A line with a number of steps on standard input asks
for so many; the answer on standard output is the seconds that they took. An empty line asks for the
peak memory of what has been trained so far.

Imported by trainers that run in environments of their own: only the standard library.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")
SHAPE = {
    "vocab_size": 8192,
    "d_model": 256,
    "n_layers": 8,
    "n_heads": 4,
    "ffn_hidden_size": 1024,
    "window": 256,
}
SEQUENCE, BATCH = 512, 8
LR, BETAS, WEIGHT_DECAY, Z_LOSS, MAX_NORM = 1e-3, (0.9, 0.95), 0.1, 1e-5, 1.0


def settings() -> tuple[str, bool]:
    """The data type's name and whether to compile, from the command line."""
    return sys.argv[1], sys.argv[2] == "compile"


class Memory:
    """Resident memory, in MiB, above what the process held when this was made."""

    def __init__(self) -> None:
        self.before = self._read("VmRSS")

    def peak(self) -> float:
        """The most it has been."""
        return self._read("VmHWM") - self.before

    @staticmethod
    def _read(key: str) -> float:
        line = next(row for row in STATUS.read_text().splitlines() if row.startswith(f"{key}:"))
        return int(line.split()[1]) / 1024


class Turns:
    """Answers the requests of `benchmarks/train.py`.

    Args:
        memory: Made before the model.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        # What libraries print must not come between the answers.
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def next(self) -> int:
        """Wait for a turn; returns its number of steps, 0 at the end."""
        for line in sys.stdin:
            if line.strip():
                return int(line)
            self.answer(self.memory.peak())
        return 0

    def answer(self, value: float) -> None:
        """Send a figure."""
        self.answers.write(json.dumps(value) + "\n")
        self.answers.flush()

    def serve(self, step: Callable[[], None]) -> None:
        """Train step by step until nothing more is asked for."""
        while steps := self.next():
            start = time.perf_counter()
            for _ in range(steps):
                step()
            self.answer(time.perf_counter() - start)
