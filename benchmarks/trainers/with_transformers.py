"""`transformers`' Olmo3ForCausalLM in a plain loop, as its documentation writes one."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import Olmo3Config, Olmo3ForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
import task


def main() -> None:
    dtype, compiled = task.settings()
    memory = task.Memory()
    layers = task.SHAPE["n_layers"]
    config = Olmo3Config(
        vocab_size=task.SHAPE["vocab_size"],
        hidden_size=task.SHAPE["d_model"],
        num_hidden_layers=layers,
        num_attention_heads=task.SHAPE["n_heads"],
        num_key_value_heads=task.SHAPE["n_heads"],
        intermediate_size=task.SHAPE["ffn_hidden_size"],
        sliding_window=task.SHAPE["window"],
        layer_types=[
            "full_attention" if (i + 1) % 4 == 0 else "sliding_attention" for i in range(layers)
        ],
        pad_token_id=None,
        eos_token_id=None,
    )
    model = Olmo3ForCausalLM(config)
    model.config.use_cache = False
    if compiled:
        model.compile()
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=task.LR,
        betas=task.BETAS,
        weight_decay=task.WEIGHT_DECAY,
        fused=True,
    )
    ids = torch.randint(task.SHAPE["vocab_size"], (task.BATCH, task.SEQUENCE))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), task.MAX_NORM)
        optimizer.step()
        optimizer.zero_grad()

    task.Turns(memory).serve(step)


if __name__ == "__main__":
    main()
