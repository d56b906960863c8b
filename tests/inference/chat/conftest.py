"""A small model that was never trained, and a tokenizer with the tokens of chat templates."""

import pytest
from tokenizers import AddedToken

from olmoflow.inference.native import NativeEngine
from olmoflow.model import Olmo3, initialise
from olmoflow.tokens.bpe import train_bpe

FRAME = ("<|im_start|>", "<|im_end|>")


@pytest.fixture(scope="session")
def tokenizer():
    made = train_bpe(["some words to make merges of, and some more"] * 9, 270)
    added = [token for token in FRAME if made.special_id(token) is None]
    made.backend.add_special_tokens([AddedToken(t, special=True) for t in added])
    return made


@pytest.fixture
def engine(tokenizer, speaking_config):
    model = Olmo3(speaking_config)
    initialise(model, seed=3)
    made = NativeEngine(model.eval().requires_grad_(False), tokenizer=tokenizer)
    yield made
    made.close()
