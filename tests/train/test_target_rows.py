"""The LM head computes logits only where there is a target, and nothing else changes."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.train.linear_cross_entropy import IGNORE, linear_cross_entropy
from olmoflow.train.linear_log_probs import linear_log_probs
from olmoflow.train.objectives import DirectPreference, NextTokenPrediction
from olmoflow.train.share import make_share
from olmoflow.train.target_rows import TARGET_ROWS, find_target_rows

ROWS, WIDTH, VOCAB = 60, 16, 40
CPU = torch.device("cpu")


def inputs(share):
    torch.manual_seed(0)
    hidden = torch.randn(ROWS, WIDTH, requires_grad=True)
    weight = torch.randn(VOCAB, WIDTH, requires_grad=True)
    labels = torch.randint(VOCAB, (ROWS,))
    labels[torch.rand(ROWS) >= share] = IGNORE
    return hidden, weight, labels


@pytest.mark.parametrize("chunk", [1, 7, 1024])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_cross_entropy_of_the_rows_with_targets_is_that_of_all(share, chunk):
    hidden, weight, labels = inputs(share)
    found = []
    for rows in (None, find_target_rows(labels)):
        loss, z = linear_cross_entropy(hidden, weight, labels, 0.01, chunk, rows)
        found.append((loss, z, *torch.autograd.grad((loss + z) * 0.25, (hidden, weight))))
    for whole, chosen in zip(*found, strict=True):
        torch.testing.assert_close(chosen, whole, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("chunk", [1, 7, 1024])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 1.0])
def test_log_probs_of_the_rows_with_targets_are_those_of_all(share, chunk):
    hidden, weight, labels = inputs(share)
    rows = find_target_rows(labels)
    counts = torch.randn(ROWS)
    chosen = linear_log_probs(hidden, weight, labels, chunk, rows)
    whole = linear_log_probs(hidden, weight, labels.clamp(min=0))[rows]
    torch.testing.assert_close(chosen, whole)
    gradients = [
        torch.autograd.grad((each * counts[rows]).sum(), (hidden, weight))
        for each in (chosen, whole)
    ]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=5e-6)


class Products(TorchDispatchMode):
    """Counts the multiplications of matrix products that involve the vocabulary."""

    def __init__(self, vocabulary):
        super().__init__()
        self.vocabulary, self.found = vocabulary, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.mm.default:
            sizes = (*args[0].shape, args[1].shape[1])
            if self.vocabulary in sizes:
                self.found += sizes[0] * sizes[1] * sizes[2]
        return out


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Olmo3Config(
        vocab_size=120,
        d_model=24,
        n_layers=4,
        n_heads=2,
        n_kv_heads=1,
        ffn_hidden_size=32,
        sliding_window=6,
        max_sequence_length=64,
    )
    model = Olmo3(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.ndim == 1 else 0.0, 0.2)
    return model


@pytest.fixture(scope="module")
def packed():
    """Two pairs of answers side by side, each with a prompt in front of it."""
    torch.manual_seed(1)
    lengths, learnt = [14, 9, 20, 11], [4, 1, 7, 3]
    ids = torch.randint(120, (1, sum(lengths)))
    labels = torch.full_like(ids, IGNORE)
    end = 0
    for length, some in zip(lengths, learnt, strict=True):
        end += length
        labels[0, end - 1 - some : end - 1] = ids[0, end - some : end]
    documents = torch.repeat_interleave(torch.arange(4, dtype=torch.int32), torch.tensor(lengths))
    batch = {"input_ids": ids, "labels": labels, "document_ids": documents[None]}
    reference = torch.tensor([-9.0, -4.0, -30.0, -11.0])
    return {**batch, "pairs": torch.arange(2), "reference": reference}


OBJECTIVES = [NextTokenPrediction(chunk_tokens=6), DirectPreference("dpo", 0.7, chunk_tokens=6)]
NAMES = ["next token", "preference"]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=NAMES)
def test_what_was_prepared_has_the_same_loss_metrics_and_gradients(objective, model, packed):
    found = []
    for batch in (packed, objective.prepare(packed)):
        model.zero_grad()
        terms = objective(model, batch)
        terms.loss_sum.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        found.append((terms.loss_sum, terms.metrics, gradients))
    (whole, metrics, gradients), (loss, own_metrics, own) = found
    torch.testing.assert_close((loss, own_metrics), (whole, metrics))
    assert whole != 0
    for name, gradient in gradients.items():
        error = (own[name] - gradient).abs().max() / gradient.abs().max()
        assert error <= 2e-6, (name, error)


def test_logits_are_made_of_targets_only(model, packed):
    objective = NextTokenPrediction(z_loss=0.0, chunk_tokens=6)
    with Products(120) as products:
        objective(model, objective.prepare(packed)).loss_sum.backward()
    assert products.found == 3 * 15 * 24 * 120  # logits, and the gradients of both factors


def test_a_micro_batch_without_targets_is_zero_in_everything(model, packed):
    objective = NextTokenPrediction()
    prepared = objective.prepare({**packed, "labels": torch.full_like(packed["labels"], IGNORE)})
    assert len(prepared[TARGET_ROWS]) == 0
    model.zero_grad()
    terms = objective(model, prepared)
    terms.loss_sum.backward()
    assert terms.loss_sum == 0
    assert all(value == 0 for value in terms.metrics.values())
    # Every parameter has a gradient: ranks that share a model reduce all of them.
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_where_all_are_targets_nothing_is_chosen(packed):
    batch = {**packed, "labels": packed["input_ids"]}
    assert NextTokenPrediction().prepare(batch) is batch


def test_labels_that_only_count_need_no_logits(packed):
    labels = packed["labels"].clone()
    labels[0, :5] = -101  # what an instance filter leaves
    objective = NextTokenPrediction()
    share = make_share([{**packed, "labels": labels}], objective, None, CPU)
    assert share.counts == (15 + 5, 54, 15)


def test_the_flops_of_a_run_are_without_the_heads_of_what_is_no_target(experiment):
    class EvenOnly(NextTokenPrediction):
        def prepare(self, batch):
            labels = batch["labels"]
            return super().prepare({**batch, "labels": labels.masked_fill(labels % 2 == 1, IGNORE)})

    found = experiment("half", max_steps=2, objective=EvenOnly())
    whole = experiment("whole", max_steps=2)
    module = found.module
    assert 0.2 * module.tokens < module.head_tokens < 0.8 * module.tokens
    assert whole.module.head_tokens == whole.module.tokens == module.tokens
    spared = (module.tokens - module.head_tokens) * 6 * 512 * 32
    per_token = module.config.flops_per_token(32)
    found, whole = (run.result.final["throughput/total petaflops"] for run in (found, whole))
    assert whole * 1e15 == pytest.approx(module.tokens * per_token)
    assert found * 1e15 == pytest.approx(module.tokens * per_token - spared)


def test_a_resumed_run_knows_what_the_head_has_seen(experiment):
    experiment("cut", max_steps=4, hard_stop=2)
    resumed = experiment("cut", max_steps=4).module
    assert resumed.head_tokens == resumed.tokens == 4 * 256
