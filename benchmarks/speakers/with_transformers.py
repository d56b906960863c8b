"""`transformers`' Olmo3ForCausalLM and its `generate`, all prompts in one batch."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import Olmo3Config, Olmo3ForCausalLM

sys.path.insert(0, str(Path(__file__).parent))
import speaking
import task


def main() -> None:
    memory = task.Memory()
    config = Olmo3Config(**speaking.hf_config(), pad_token_id=0, eos_token_id=None)
    model = Olmo3ForCausalLM(config).to(getattr(torch, sys.argv[1])).eval()
    ids = torch.tensor(speaking.prompts())
    mask = torch.ones_like(ids)

    def step() -> None:
        out = model.generate(
            ids,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=speaking.ANSWER,
            eos_token_id=None,
        )
        assert out.shape[1] == speaking.PROMPT + speaking.ANSWER

    task.Turns(memory).serve(step)


if __name__ == "__main__":
    main()
