"""vLLM's own engine in this process, without a server in between."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from vllm import LLM, SamplingParams

sys.path.insert(0, str(Path(__file__).parent))
import speaking
import task


def main() -> None:
    memory = task.Memory()
    turns = task.Turns(memory)
    dtype = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        values = speaking.hf_config() | {"pad_token_id": 0, "eos_token_id": 1}
        config = AutoConfig.for_model("olmo3", **values)
        model = AutoModelForCausalLM.from_config(config).to(getattr(torch, dtype))
        model.save_pretrained(folder)
        llm = LLM(
            model=folder,
            skip_tokenizer_init=True,
            dtype=dtype,
            max_model_len=speaking.MAX_LENGTH,
            max_num_seqs=speaking.PROMPTS,
            enable_prefix_caching=False,  # every turn has the same prompts
        )
        prompts = [{"prompt_token_ids": ids} for ids in speaking.prompts()]
        settings = SamplingParams(
            temperature=1.0, max_tokens=speaking.ANSWER, ignore_eos=True, detokenize=False
        )

        def step() -> None:
            said = sum(len(o.outputs[0].token_ids) for o in llm.generate(prompts, settings))
            assert said == speaking.PROMPTS * speaking.ANSWER

        turns.serve(step)


if __name__ == "__main__":
    main()
