"""One model has one probability of a text, whoever is asked, however its vocabulary is padded.

The padding rows are given most of the mass here; after a training they have none to speak of.
"""

import json

import pytest
import torch

from olmoflow.evaluate.in_loop.scorer import TrainingScorer
from olmoflow.inference import Sampling
from olmoflow.inference.engine import GenerationRequest, ScoreRequest
from olmoflow.inference.hf import open_hf
from olmoflow.inference.native.engine import NativeEngine
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.model.hf import export_hf
from olmoflow.tokens.bpe import train_bpe

CONFIG = Olmo3Config(
    vocab_size=320,
    d_model=16,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    ffn_hidden_size=24,
    sliding_window=8,
    max_sequence_length=64,
    init_std=0.3,
)
SCORED = [
    ScoreRequest([3 * place % 250 for place in range(length)], [length, 7, 11])
    for length in range(1, 40, 6)
]
# Where the likeliest of all rows is padding, the likeliest token still is the greedy one.
ASKED = GenerationRequest([5, 80, 33], 8, Sampling(temperature=0), prompt_logprobs=True)


@pytest.fixture(scope="module")
def tokenizer():
    return train_bpe(["The red fox sees the old dog; naïve!"] * 4, 280)


@pytest.fixture(scope="module")
def model(tokenizer):
    made = Olmo3(CONFIG).eval()
    initialise(made, seed=0)
    with torch.no_grad():
        made.lm_head.weight[tokenizer.vocab_size :] *= 4
        heard = made(torch.tensor([SCORED[-1].context_ids])).softmax(-1)
    assert heard[..., tokenizer.vocab_size :].sum(-1).mean() > 0.5
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def folders(model, tokenizer, tmp_path_factory):
    """Exported as we do it, and with all rows, as another program may leave it."""
    root = tmp_path_factory.mktemp("padded")
    tokenizer.save(root / "tokenizer")
    for name, rows in (("cut", None), ("whole", CONFIG.vocab_size)):
        tensors = model.state_dict().items()
        export_hf(tensors, CONFIG, root / name, tokenizer=root / "tokenizer", vocab_size=rows)
    return root


@pytest.fixture(scope="module")
def expected(model, tokenizer):
    """Of each request, computed the slow way over the tokenizer's ids."""
    found = []
    for request in SCORED:
        whole = torch.tensor([[*request.context_ids, *request.continuation_ids]])
        logprobs = model(whole)[0, :, : tokenizer.vocab_size].log_softmax(-1)
        predicted = logprobs[len(request.context_ids) - 1 : -1]
        found.append(predicted.gather(1, whole[0, len(request.context_ids) :, None])[:, 0].tolist())
    return found


def engines(model, tokenizer, folders):
    yield NativeEngine(model, tokenizer=tokenizer)
    for name, rows in (("cut", tokenizer.vocab_size), ("whole", CONFIG.vocab_size)):
        assert json.loads((folders / name / "config.json").read_text())["vocab_size"] == rows
        yield open_hf(folders / name, torch.device("cpu"), torch.float32, tokenizer)


def test_every_engine_and_the_model_in_training_score_alike(model, tokenizer, folders, expected):
    scorer = TrainingScorer(model, batch_tokens=64, vocab_size=tokenizer.vocab_size)
    for asked in (scorer, *engines(model, tokenizer, folders)):
        assert asked.vocab_size == tokenizer.vocab_size
        scores = dict(asked.score(SCORED))
        for number, logprobs in enumerate(expected):
            assert scores[number].logprobs == pytest.approx(logprobs, abs=1e-4), asked


def test_what_is_said_is_as_likely_as_it_is_scored(model, tokenizer, folders):
    said = []
    for engine in engines(model, tokenizer, folders):
        (completion,) = engine.generate([ASKED])
        ((_, score),) = engine.score([ScoreRequest(ASKED.prompt_ids, completion.token_ids)])
        assert completion.logprobs == pytest.approx(score.logprobs, abs=1e-4)
        assert score.greedy
        said.append((completion.token_ids, completion.prompt_logprobs))
    for token_ids, prompt_logprobs in said[1:]:
        assert token_ids == said[0][0]
        assert prompt_logprobs == pytest.approx(said[0][1], abs=1e-4)
