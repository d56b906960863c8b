"""Our scores against lm-eval's Hugging Face backend: real questions, one exported checkpoint.

Where the definitions agree so must the numbers: log-likelihoods to 1e-3, what is right and what
wrong exactly. docs/evaluation.md lists where they do not.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from olmoflow.evaluate.runner.answers import Answerer
from olmoflow.evaluate.tasks.registry import find_task
from olmoflow.inference.native.engine import NativeEngine
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.hf import export_hf
from olmoflow.tokens.tokenizer import load_tokenizer

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks" / "evaluators"))
from lm_eval_tasks import write_choices, write_generation, write_tokenizer  # noqa: E402

CHOICES = (
    "arc_easy:rc",
    "arc_challenge:mc",
    "hellaswag:rc:5shot",
    "piqa:rc",
    "openbookqa:rc",
    "mmlu_anatomy:mc",
)
GENERATION = ("jeopardy:gen", "naturalqs:gen")
QUESTIONS, PROMPTS = 16, 6
LOGLIKELIHOOD_TOLERANCE = 1e-3
SAME = {"acc_raw": "acc", "acc_per_char": "acc_norm", "acc_per_byte": "acc_bytes"}


@pytest.fixture(scope="module")
def lm_eval():
    """The Python of lm-eval's environment, which is built where it is missing."""
    subprocess.run([sys.executable, ROOT / "setup" / "peers.py", "transformers"], check=True)
    return ROOT / ".peers" / "transformers" / "bin" / "python"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A random model with a real tokenizer, exported; windows shorter than the prompts."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = write_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    model = Olmo3(
        Olmo3Config(
            vocab_size=50304,
            d_model=64,
            n_layers=4,
            n_heads=4,
            n_kv_heads=2,
            ffn_hidden_size=128,
            sliding_window=256,
            max_sequence_length=4096,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1)
    target = folder / "hf"
    export_hf(model.state_dict().items(), model.config, target, tokenizer=tokenizer)
    return model.requires_grad_(False), load_tokenizer(tokenizer), target


@pytest.fixture(scope="module")
def theirs(lm_eval, checkpoint, tmp_path_factory):
    """What lm-eval says of each task."""
    folder = tmp_path_factory.mktemp("tasks")
    for name in CHOICES:
        write_choices(folder, alias(name), find_task(name).instances(QUESTIONS))
    for name in GENERATION:
        write_generation(folder, alias(name), find_task(name).instances(PROMPTS))
    names = ",".join(alias(name) for name in (*CHOICES, *GENERATION))
    command = [lm_eval, ROOT / "benchmarks/evaluators/with_lm_eval.py", checkpoint[2], folder, "8"]
    done = subprocess.run(
        list(map(str, command)), input=names, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)["samples"]


@pytest.fixture(scope="module")
def answerer(checkpoint):
    model, tokenizer, _ = checkpoint
    engine = NativeEngine(model, tokenizer=tokenizer)
    yield Answerer(engine, tokenizer)
    engine.close()


def alias(name):
    return name.replace(":", "_")


@pytest.mark.parametrize("name", CHOICES)
def test_choices_have_the_same_likelihoods_and_accuracies(name, theirs, answerer):
    task = find_task(name)
    answered = answerer.answer(name, list(task.instances(QUESTIONS)))
    scores = task.score([(a.instance, a.responses) for a in answered])
    rows = sorted(theirs[alias(name)], key=lambda row: row["doc_id"])
    assert len(rows) == len(answered) == QUESTIONS
    for row, one, score in zip(rows, answered, scores, strict=True):
        assert not any(response.truncated for response in one.responses)
        expected = [likelihood for likelihood, _ in row["filtered_resps"]]
        found = [response.sum_logits for response in one.responses[: len(expected)]]
        assert found == pytest.approx(expected, abs=LOGLIKELIHOOD_TOLERANCE)
        for ours, metric in SAME.items():
            assert score.metrics[ours] == row[metric]


@pytest.mark.parametrize("name", GENERATION)
def test_greedy_answers_are_the_same_text(name, theirs, answerer):
    answered = answerer.answer(name, list(find_task(name).instances(PROMPTS)))
    rows = sorted(theirs[alias(name)], key=lambda row: row["doc_id"])
    ours = [one.responses[0].continuations[0] for one in answered]
    assert ours == [row["filtered_resps"][0] for row in rows]
