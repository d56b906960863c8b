"""Bits per byte against the definition, computed the slow way."""

import gzip
import json
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import cross_entropy

from olmoflow.evaluate.bits_per_byte import score_heldout, token_nats
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.tokens.bpe import train_bpe
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.shards import write_shards

LENGTH = 24
SIZE = 300  # of the vocabulary
TRAIN = [f"def f{i}(x):\n    return x * {i}\n" for i in range(40)]
HELDOUT = {
    "code": [f"def g{i}(y):\n    return {i} + y  # naïve\n" for i in range(6)],
    "prose": ["It returns the sum, nothing else.", "東京 and Straße are words, too."],
}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Shards with both splits, and the held-out documents' token ids and texts in order."""
    folder = tmp_path_factory.mktemp("evaluate")
    tokenizer = train_bpe(TRAIN, SIZE)
    tokenizer.save(folder / "tokenizer")
    rows = {
        "train": [{"text": t, "source": "code"} for t in TRAIN],
        "heldout": [{"text": t, "source": s} for s, texts in HELDOUT.items() for t in texts],
    }
    for split, documents in rows.items():
        corpus = folder / f"{split}.jsonl"
        corpus.write_text("".join(json.dumps(d) + "\n" for d in documents))
        write_shards(corpus, folder / "tokenizer", folder / split, num_workers=1)
    return SimpleNamespace(folder=folder, tokenizer=tokenizer, heldout=rows["heldout"])


@pytest.fixture(scope="module")
def model(room):
    config = Olmo3Config(
        vocab_size=room.tokenizer.vocab_size + 84,  # rows that pad
        d_model=16,
        n_layers=2,
        n_heads=2,
        n_kv_heads=2,
        ffn_hidden_size=24,
        sliding_window=8,
        max_sequence_length=4096,
        init_std=0.3,  # far from uniform, so that a token scored in the wrong place shows
    )
    made = Olmo3(config).eval()
    initialise(made, seed=1)
    return made


def ids(room, text):
    return [*room.tokenizer.encode(text), room.tokenizer.eos_id]


def test_each_token_is_scored_once_with_half_a_window_of_context(room, model):
    shards = TokenShards.open(room.folder / "heldout")
    tokens = torch.from_numpy(shards.read(0, len(shards)))
    expected = [math.log(SIZE)]
    stride = LENGTH // 2
    for place in range(1, len(tokens)):
        # The first window predicts LENGTH tokens, each later one its second half.
        begin = max(0, math.ceil((place - LENGTH) / stride)) * stride
        with torch.inference_mode():
            logits = model(tokens[None, begin:place])[0, -1, :SIZE]
        expected.append(float(cross_entropy(logits, tokens[place])))
    for batch_size in (1, 3, 100):
        found = token_nats(model, shards, LENGTH, SIZE, batch_size)
        assert found == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("length", [7, 4096])
def test_windows_of_odd_length_and_longer_than_the_text(room, model, length):
    shards = TokenShards.open(room.folder / "heldout")
    found = token_nats(model, shards, length, SIZE)
    assert len(found) == len(shards)
    assert (found > 0).all()


def test_score_is_bits_of_all_tokens_over_bytes_of_the_text(room, model):
    scores = score_heldout(model, room.folder, sequence_length=LENGTH)
    nats = token_nats(model, TokenShards.open(room.folder / "heldout"), LENGTH, SIZE)
    texts = [row["text"] for row in room.heldout]
    size = sum(len(text.encode()) for text in texts)
    assert scores.model.value == pytest.approx(nats.sum() / math.log(2) / size)
    assert scores.model.documents == len(texts)
    first = sum(len(ids(room, text)) for text in HELDOUT["code"])
    code = sum(len(text.encode()) for text in HELDOUT["code"])
    assert scores.by_source["code"].value == pytest.approx(nats[:first].sum() / math.log(2) / code)
    assert set(scores.by_source) == {"code", "prose"}


def test_gzip_and_unigram_are_those_of_the_same_text(room, model):
    scores = score_heldout(model, room.folder, sequence_length=LENGTH)
    text = "".join(row["text"] for row in room.heldout).encode()
    assert scores.gzip_stream == pytest.approx(8 * len(gzip.compress(text, 9)) / len(text))
    each = sum(len(gzip.compress(row["text"].encode(), 9)) for row in room.heldout)
    assert scores.gzip == pytest.approx(8 * each / len(text))
    counts = Counter(token for text in TRAIN for token in ids(room, text))
    total = sum(counts.values()) + SIZE
    seen = [token for row in room.heldout for token in ids(room, row["text"])]
    bits = sum(-math.log2((counts[token] + 1) / total) for token in seen)
    assert scores.unigram == pytest.approx(bits / len(text))


def test_a_model_that_knows_nothing_pays_the_vocabulary_for_each_token(room, model):
    uniform = Olmo3(model.config).eval()
    initialise(uniform, seed=0)
    with torch.no_grad():
        uniform.lm_head.weight.zero_()
    nats = token_nats(uniform, TokenShards.open(room.folder / "heldout"), LENGTH, SIZE)
    assert nats == pytest.approx(math.log(SIZE), rel=1e-6)
