"""Seconds that a save keeps training waiting: ours and torch's distributed checkpoint (DCP).

    ./just bench checkpoint

One process saves a model of 21M parameters with AdamW's moments (250 MB, fp32). Ours writes the
same DCP files and beyond that a digest of each, flushes, renames the folder when it is complete,
and checks the step's record. What is timed is named in each case; the next save begins only when
the last one is on the disk. Torch runs in one thread, since copies by several wait for each other
on a busy machine.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from comparison import compare
from torch.distributed.checkpoint.state_dict import get_state_dict

from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.checkpoint import CheckpointWriter

CONFIG = Olmo3Config(
    vocab_size=4096, d_model=384, n_layers=10, n_heads=6, n_kv_heads=6, ffn_hidden_size=1024
)
REPETITIONS = 7
# Ours does more than DCP, so a save that blocks is slower; one in the background must not be.
LIMITS = {"ours in the background, DCP blocking": 2.0}

# Saves number n into a folder; returns the seconds that training waits.
Save = Callable[[Path, int], float]


def run() -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    state = _trained()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        return [
            _compare("ours in the background, DCP blocking", here, _ours(state, True), _dcp(state)),
            _compare("both in the background", here, _ours(state, True), _dcp_async(state)),
            _compare("both blocking", here, _ours(state, False), _dcp(state)),
        ]


def _trained() -> tuple[Olmo3, torch.optim.Optimizer]:
    """A model and an optimizer that has its moments."""
    model = Olmo3(CONFIG)
    initialise(model, 0)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    return model, optimizer


def _compare(case: str, folder: Path, ours: Save, peer: Save) -> dict[str, Any]:
    seconds: list[list[float]] = [[], []]
    for repetition in range(1 + REPETITIONS):
        for save, found in zip((ours, peer), seconds, strict=True):
            blocked = save(folder / "series", repetition)
            shutil.rmtree(folder / "series")
            if repetition:
                found.append(blocked)
    return compare(case, *seconds, "torch", "s blocked")


def _ours(state: tuple[Olmo3, torch.optim.Optimizer], asynchronous: bool) -> Save:
    writers: list[CheckpointWriter] = []  # one for all saves, as a run has one

    def save(folder: Path, number: int) -> float:
        if not writers:
            writers.append(CheckpointWriter(folder, asynchronous=asynchronous))
        (writer,) = writers
        start = time.perf_counter()
        writer.save(number, *state, CONFIG, {"step": number})
        blocked = time.perf_counter() - start
        writer.wait()
        return blocked

    return save


def _dcp(state: tuple[Olmo3, torch.optim.Optimizer]) -> Save:
    def save(folder: Path, number: int) -> float:
        start = time.perf_counter()
        dcp.save(_state_dict(state), checkpoint_id=folder / str(number), no_dist=True)
        return time.perf_counter() - start

    return save


def _dcp_async(state: tuple[Olmo3, torch.optim.Optimizer]) -> Save:
    def save(folder: Path, number: int) -> float:
        start = time.perf_counter()
        written: Any = dcp.async_save(
            _state_dict(state), checkpoint_id=folder / str(number), no_dist=True
        )
        blocked = time.perf_counter() - start
        written.result()
        return blocked

    return save


def _state_dict(state: tuple[Olmo3, torch.optim.Optimizer]) -> dict[str, Any]:
    model, optimizer = get_state_dict(*state)
    return {"model": model, "optimizer": optimizer}
