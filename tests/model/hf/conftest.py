"""A small model with padded vocabulary and its tokenizer, as a checkpoint would hold them."""

import json

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from olmoflow.model import Olmo3, Olmo3Config, initialise

TOKENS = 300
TEXT = "The quick brown fox jumps over the lazy dog, and isn't that nice: 1,234.5 times! "


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A byte-level BPE with an end-of-text and a padding token; the largest id is `TOKENS` - 1."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=TOKENS - 2, initial_alphabet=alphabet)
    tokenizer.train_from_iterator([TEXT * 3, "zyxwvutsrqponmlkjihgfedcba" * 2], trainer)
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>"), AddedToken("<|pad|>")])
    assert tokenizer.get_vocab_size() == TOKENS
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|pad|>",
        "bos_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture
def config():
    """Eight layers, grouped queries, a window shorter than the texts, 84 rows of padding."""
    return Olmo3Config(
        vocab_size=384,
        d_model=64,
        n_layers=8,
        n_heads=4,
        n_kv_heads=2,
        ffn_hidden_size=96,
        sliding_window=16,
        max_sequence_length=128,
    )


@pytest.fixture
def make_model():
    """Makes a model whose every parameter, norms too, is random."""

    def make(config):
        with torch.device("meta"):
            model = Olmo3(config)
        initialise(model, 0, torch.device("cpu"))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise, alpha=0.05)
        return model.eval()

    return make


@pytest.fixture
def ids():
    """[2, 100]: several windows long."""
    return torch.randint(TOKENS, (2, 100), generator=torch.Generator().manual_seed(2))
