"""Our preference losses against TRL's: one exported checkpoint, the same pairs, fp32.

Loss, rewards, log-probabilities and every gradient agree to 1e-4. Two of our losses TRL has not:
label smoothing of DPO, and WPO without a correction for the entropy of the policy;
tests/train/objectives holds these to the papers' formulas.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.hf import export_hf
from olmoflow.model.hf.names import NAMES
from olmoflow.tokens import PairDataModule
from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.chat.template import load_template
from olmoflow.tokens.pairs.shards import write_pair_shards
from olmoflow.train.objectives import DirectPreference
from olmoflow.train.objectives.document_log_probs import document_log_probs

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4
PAIRS = 6
CASES = {
    "dpo": {"loss": "sigmoid", "beta": 0.1},
    "dpo_norm": {"loss": "sigmoid_norm", "beta": 5.0},
    "simpo": {"loss": "simpo", "beta": 2.0, "gamma_beta_ratio": 0.3, "label_smoothing": 0.1},
}


def random_model(seed, vocab):
    torch.manual_seed(seed)
    config = Olmo3Config(
        vocab_size=vocab,
        d_model=32,
        n_layers=4,
        n_heads=4,
        n_kv_heads=2,
        ffn_hidden_size=64,
        sliding_window=16,
        max_sequence_length=256,
    )
    model = Olmo3(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.1)
    return model


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The models, and one micro-batch with all pairs, as training would see it."""
    folder = tmp_path_factory.mktemp("trl")
    tokenizer = train_bpe([Path(__file__).read_text()], 400)
    tokenizer.save(folder / "tokenizer")
    rows = []
    for number in range(PAIRS):
        question = {"role": "user", "content": f"how many folders are {number} folders?"}
        answers = {"chosen": "pairs " * (3 + number) + "!", "rejected": f"{number} of the tests"}
        turns = {k: [question, {"role": "assistant", "content": v}] for k, v in answers.items()}
        rows.append(json.dumps(turns))
    (folder / "rows.jsonl").write_text("\n".join(rows) + "\n")
    write_pair_shards(
        *(folder / "rows.jsonl", folder / "tokenizer", load_template("think"), folder / "train"),
        **{"sequence_length": 256, "too_long": None},
    )
    data = PairDataModule(
        str(folder / "train"),
        sequence_length=256,
        global_batch_pairs=PAIRS,
        micro_batch_tokens=4096,
        seed=1,
    )
    ((batch,),) = [next(iter(data.loader(0, 1, 0)))]
    models = {}
    for seed, name in enumerate(("policy", "reference")):
        models[name] = random_model(seed, tokenizer.vocab_size)
        state = models[name].state_dict().items()
        export_hf(state, models[name].config, folder / name, tokenizer=folder / "tokenizer")
    with torch.no_grad():
        scored = document_log_probs(models["reference"], batch, 2 * PAIRS)
    return folder, models["policy"], {**batch, "reference": scored.total}


@pytest.fixture(scope="module")
def theirs(prepared):
    """What TRL says of each case: its metrics and gradients."""
    subprocess.run([sys.executable, ROOT / "setup" / "peers.py", "transformers"], check=True)
    folder, _, batch = prepared
    (folder / "pairs.json").write_text(json.dumps(unpacked(batch)))
    (folder / "cases.json").write_text(json.dumps(CASES))
    python = ROOT / ".peers" / "transformers" / "bin" / "python"
    subprocess.run([python, Path(__file__).with_name("with_trl.py"), folder], check=True)
    return {
        name: (json.loads((folder / f"{name}.json").read_text()), gradients(folder, name))
        for name in CASES
    }


def gradients(folder, name):
    return load_file(folder / f"{name}.safetensors")


def unpacked(batch):
    """Prompt and answers of each pair, from the row in which we pack them."""
    ids, labels, documents = (batch[k][0] for k in ("input_ids", "labels", "document_ids"))
    pairs = []
    for number in range(PAIRS):
        pair = {}
        for side, name in enumerate(("chosen", "rejected")):
            tokens = ids[documents == 2 * number + side]
            learnt = (labels[documents == 2 * number + side] != -100).nonzero().flatten() + 1
            assert learnt.tolist() == list(range(int(learnt[0]), len(tokens)))
            pair["prompt"] = tokens[: learnt[0]].tolist()
            pair[name] = tokens[learnt].tolist()
        pairs.append(pair)
    return pairs


@pytest.mark.parametrize("loss", CASES)
def test_loss_rewards_and_gradients_are_those_of_trl(loss, prepared, theirs):
    _, model, batch = prepared
    metrics, expected = theirs[loss]
    settings = {k: v for k, v in CASES[loss].items() if k != "loss"}
    model.zero_grad()
    found = DirectPreference(loss, **settings)(model, batch)
    (found.loss_sum / PAIRS).backward()
    ours = {name: float(value) / PAIRS for name, value in found.metrics.items()}
    close = {"abs": TOLERANCE, "rel": TOLERANCE}
    assert ours["preference loss"] == pytest.approx(metrics["loss"], **close)
    assert ours["reward accuracy"] == pytest.approx(metrics["rewards/accuracies"], **close)
    for side, place in (("chosen", 0), ("rejected", 1)):
        # TRL's rewards are sums of log-ratios, ours what the loss compares: means with dpo_norm.
        reward = ours[f"reward {side}"]
        if loss == "dpo_norm":
            reference = float(batch["reference"][place::2].mean())
            reward = settings["beta"] * (ours[f"log-prob {side}"] - reference)
        assert reward == pytest.approx(metrics[f"rewards/{side}"], **close)
        if loss != "simpo":  # there TRL's are means
            assert ours[f"log-prob {side}"] == pytest.approx(metrics[f"logps/{side}"], **close)
    named = {NAMES.theirs(name): p.grad for name, p in model.named_parameters()}
    assert named.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 0.01
    rounding = 1e-5 * largest  # of sums that nearly cancel
    for name, gradient in expected.items():
        torch.testing.assert_close(named[name], gradient, rtol=TOLERANCE, atol=rounding, msg=name)
