"""Our native engine, with continuous batches or with static ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
import speaking
import task

from olmoflow.inference.engine import GenerationRequest
from olmoflow.inference.native import NativeEngine
from olmoflow.model import Olmo3, Olmo3Config, initialise


def main() -> None:
    dtype, mode = getattr(torch, sys.argv[1]), sys.argv[2]
    memory = task.Memory()
    shape = {name: value for name, value in task.SHAPE.items() if name != "window"}
    config = Olmo3Config(
        **shape,
        n_kv_heads=shape["n_heads"],
        sliding_window=task.SHAPE["window"],
        max_sequence_length=speaking.MAX_LENGTH,
    )
    model = Olmo3(config, compute_dtype=dtype)
    initialise(model, seed=0)
    model.to(dtype).eval().requires_grad_(False)
    engine = NativeEngine(model, max_batch=speaking.PROMPTS, cache_gib=2)
    task.Turns(memory).serve(_step(engine, mode))


def _step(engine: NativeEngine, mode: str) -> Callable[[], None]:
    if mode == "even":
        requests = [GenerationRequest(p, speaking.ANSWER) for p in speaking.prompts()]
        return lambda: _speak(engine, requests)
    lengths = speaking.skewed_lengths()
    prompts = speaking.prompts(len(lengths))
    if mode == "skewed":
        requests = [GenerationRequest(*each) for each in zip(prompts, lengths, strict=True)]
        return lambda: _speak(engine, requests)
    size = speaking.PROMPTS
    batches = [
        [GenerationRequest(p, max(lengths[i : i + size])) for p in prompts[i : i + size]]
        for i in range(0, len(prompts), size)
    ]
    return lambda: [_speak(engine, batch) for batch in batches] and None


def _speak(engine: NativeEngine, requests: list[GenerationRequest]) -> None:
    said = sum(len(done.token_ids) for done in engine.generate(requests))
    assert said == sum(request.max_new_tokens for request in requests)


if __name__ == "__main__":
    main()
