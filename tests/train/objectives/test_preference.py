"""Preference losses: the papers' formulas, however the pairs are packed."""

import pytest
import torch
from torch.nn.functional import logsigmoid

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.train.linear_cross_entropy import IGNORE
from olmoflow.train.objectives import DirectPreference

VOCAB = 48
LOSSES = ["dpo", "dpo_norm", "simpo", "wpo"]
SETTINGS = {"beta": 0.7, "gamma_beta_ratio": 0.4, "chunk_tokens": 5}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Olmo3(
        Olmo3Config(
            vocab_size=VOCAB,
            d_model=24,
            n_layers=4,
            n_heads=2,
            n_kv_heads=1,
            ffn_hidden_size=32,
            sliding_window=6,
            max_sequence_length=128,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    return model


@pytest.fixture(scope="module")
def pairs():
    """Answers of unlike lengths to a prompt of five: (tokens, where the answer begins)."""
    torch.manual_seed(1)
    sizes = [(12, 9), (7, 14), (10, 10)]
    return [[(torch.randint(VOCAB, (n,)), 5) for n in size] for size in sizes]


REFERENCE = torch.tensor([-9.0, -20.0, -5.5, -30.0, -11.0, -12.0])


def packed(pairs, reference=REFERENCE):
    documents = [document for pair in pairs for document in pair]
    labels = []
    for tokens, start in documents:
        shifted = torch.full_like(tokens, IGNORE)
        shifted[start - 1 : -1] = tokens[start:]
        labels.append(shifted)
    sizes = torch.tensor([len(tokens) for tokens, _ in documents])
    batch = {
        "input_ids": torch.cat([tokens for tokens, _ in documents])[None],
        "labels": torch.cat(labels)[None],
        "document_ids": torch.repeat_interleave(torch.arange(len(sizes)), sizes)[None],
        "pairs": torch.arange(len(pairs)),
    }
    return batch if reference is None else {**batch, "reference": reference}


def plain(model, pairs, loss, smoothing, reference=REFERENCE):
    """The papers' formulas, one answer at a time through all logits."""
    sums, means = [], []
    for tokens, start in (document for pair in pairs for document in pair):
        log_p = model(tokens[None])[0].log_softmax(-1)
        picked = log_p[start - 1 : -1].gather(1, tokens[start:, None])
        sums.append(picked.sum())
        means.append(picked.mean())
    sums, means = torch.stack(sums), torch.stack(means)
    lengths = torch.tensor([len(t) - s for pair in pairs for t, s in pair])
    weight = 1.0
    if loss in ("dpo", "wpo"):
        ratio = sums - reference
    elif loss == "dpo_norm":
        ratio = means - reference / lengths
    else:
        ratio = means
    margin = ratio[::2] - ratio[1::2] - (0.4 if loss == "simpo" else 0.0)
    if loss == "wpo":
        weight = (means[::2] + means[1::2]).exp().clamp(max=1).detach()
    right, wrong = logsigmoid(0.7 * margin), logsigmoid(-0.7 * margin)
    losses = weight * (-(1 - smoothing) * right - smoothing * wrong)
    return losses, 0.7 * ratio, sums


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_rewards_and_gradients_are_those_of_the_formula(model, pairs, loss, smoothing):
    objective = DirectPreference(loss, label_smoothing=smoothing, **SETTINGS)
    found = objective(model, packed(pairs))
    losses, rewards, sums = plain(model, pairs, loss, smoothing)
    metrics = found.metrics
    close = {"rtol": 1e-6, "atol": 1e-5}
    torch.testing.assert_close(found.loss_sum, losses.sum(), **close)
    chosen, rejected = rewards[::2], rewards[1::2]
    torch.testing.assert_close(metrics["reward chosen"], chosen.sum(), **close)
    torch.testing.assert_close(metrics["reward rejected"], rejected.sum(), **close)
    torch.testing.assert_close(metrics["reward margin"], (chosen - rejected).sum(), **close)
    torch.testing.assert_close(metrics["log-prob chosen"], sums[::2].sum(), **close)
    assert metrics["reward accuracy"] == (chosen > rejected).sum()
    assert metrics["targets rejected"] == 4 + 9 + 5
    parameters = list(model.parameters())
    ours = torch.autograd.grad(found.loss_sum, parameters)
    for a, b in zip(ours, torch.autograd.grad(losses.sum(), parameters), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_chosen_answers_own_likelihood_adds_to_any_loss(model, pairs, loss):
    without = DirectPreference(loss, **SETTINGS)(model, packed(pairs)).loss_sum
    found = DirectPreference(loss, chosen_nll=0.3, **SETTINGS)(model, packed(pairs)).loss_sum
    chosen = [tokens for (tokens, _), _ in pairs]
    means = [model(t[None])[0].log_softmax(-1)[4:-1].gather(1, t[5:, None]).mean() for t in chosen]
    torch.testing.assert_close(found - without, -0.3 * sum(means), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_packed_pairs_have_the_loss_of_single_ones(model, pairs, loss):
    objective = DirectPreference(loss, **SETTINGS)
    together = objective(model, packed(pairs)).loss_sum
    alone = sum(
        objective(model, packed([pair], REFERENCE[2 * i : 2 * i + 2])).loss_sum
        for i, pair in enumerate(pairs)
    )
    assert float(together.detach()) == pytest.approx(float(alone.detach()), rel=1e-6, abs=1e-6)
    assert objective.count(packed(pairs)) == 3


def test_only_simpo_does_without_a_reference(model, pairs):
    assert not DirectPreference("simpo").needs_reference
    DirectPreference("simpo")(model, packed(pairs, None))
    with pytest.raises(UserError, match=r"loss=dpo: the data hold no log-probabilities"):
        DirectPreference("dpo")(model, packed(pairs, None))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("beta", 0.0), ("label_smoothing", 0.5), ("chosen_nll", -1.0), ("chunk_tokens", 0)],
)
def test_a_number_out_of_its_range_is_named(setting, value):
    with pytest.raises(UserError, match=f"method.objective.{setting}={value}: expected"):
        DirectPreference(**{setting: value})
