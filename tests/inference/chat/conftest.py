"""A small model that was never trained, and a tokenizer with the tokens of chat templates."""

import pytest
from tokenizers import AddedToken

from olmoflow.inference.native import NativeEngine
from olmoflow.model import Olmo3, Olmo3Config, initialise
from olmoflow.tokens.bpe import train_bpe

FRAME = ("<|im_start|>", "<|im_end|>")
CONFIG = Olmo3Config(
    vocab_size=320,
    d_model=32,
    n_layers=2,
    n_heads=2,
    n_kv_heads=2,
    ffn_hidden_size=64,
    sliding_window=16,
    max_sequence_length=256,
    init_std=0.3,
)


@pytest.fixture(scope="session")
def tokenizer():
    made = train_bpe(["some words to make merges of, and some more"] * 9, 270)
    added = [token for token in FRAME if made.special_id(token) is None]
    made.backend.add_special_tokens([AddedToken(t, special=True) for t in added])
    return made


@pytest.fixture
def engine(tokenizer):
    model = Olmo3(CONFIG)
    initialise(model, seed=3)
    made = NativeEngine(model.eval().requires_grad_(False), tokenizer=tokenizer)
    yield made
    made.close()
