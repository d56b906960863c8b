"""One step of TRL's preference losses, in TRL's own environment.

    .peers/transformers/bin/python tests/parity/with_trl.py FOLDER

FOLDER holds `policy` and `reference` (Hugging Face folders with the tokenizer) and `pairs.json`, a
list of token ids `{"prompt", "chosen", "rejected"}`, and `cases.json`, a name and the settings of
each case. Left there are `NAME.json`, what TRL would log, and `NAME.safetensors`, the gradient.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch
from datasets import Dataset
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

# The trainers want a data set to begin with; what they compute here comes from pairs.json.
ROWS = [{"prompt": "a", "chosen": " b", "rejected": " c"}] * 2
QUIET = {"report_to": "none", "use_cpu": True, "bf16": False, "max_length": 4096}


def main(folder: Path) -> None:
    """Compute all cases."""
    pairs = json.loads((folder / "pairs.json").read_text())
    for name, settings in json.loads((folder / "cases.json").read_text()).items():
        run = simpo if settings["loss"] == "simpo" else dpo
        model, loss, metrics = run(folder, pairs, settings)
        loss.backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        save_file(gradients, folder / f"{name}.safetensors")
        metrics["loss"] = float(loss.detach())
        (folder / f"{name}.json").write_text(json.dumps(metrics))


def dpo(folder: Path, pairs: list[dict[str, Any]], settings: dict[str, Any]) -> Any:
    """DPOTrainer, with the reference beside the policy."""
    config = DPOConfig(
        str(folder / "trl"), loss_type=[settings["loss"]], beta=settings["beta"], **QUIET
    )
    trainer = DPOTrainer(
        _model(folder / "policy"),
        _model(folder / "reference"),
        config,
        train_dataset=Dataset.from_list(ROWS),
        processing_class=AutoTokenizer.from_pretrained(folder / "policy"),
    )
    rows = [{f"{part}_ids": ids for part, ids in pair.items()} for pair in pairs]
    model = trainer.model.train()
    loss = trainer.compute_loss(model, trainer.data_collator(rows))
    logged = {k: sum(v) / len(v) for k, v in trainer._metrics["train"].items()}
    return model, loss, logged


def simpo(folder: Path, pairs: list[dict[str, Any]], settings: dict[str, Any]) -> Any:
    """CPOTrainer, whose loss without the term for the chosen answer's likelihood is SimPO's."""
    config = CPOConfig(
        str(folder / "trl"),
        loss_type="simpo",
        cpo_alpha=0.0,
        beta=settings["beta"],
        simpo_gamma=settings["beta"] * settings["gamma_beta_ratio"],
        label_smoothing=settings["label_smoothing"],
        **QUIET,
    )
    trainer = CPOTrainer(
        _model(folder / "policy"),
        config,
        train_dataset=Dataset.from_list(ROWS),
        processing_class=AutoTokenizer.from_pretrained(folder / "policy"),
    )
    rows = [_tokenized(pair) for pair in pairs]
    model = trainer.model.train()
    loss, logged = trainer.get_batch_loss_metrics(model, trainer.data_collator(rows))
    return model, loss, logged


def _tokenized(pair: dict[str, list[int]]) -> dict[str, list[int]]:
    prompt = pair["prompt"]
    row = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for side in ("chosen", "rejected"):
        ids = prompt + pair[side]
        row[f"{side}_input_ids"] = ids
        row[f"{side}_attention_mask"] = [1] * len(ids)
        row[f"{side}_labels"] = [-100] * len(prompt) + pair[side]
    return row


def _model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
