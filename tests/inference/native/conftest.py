"""Small models whose greedy choices are no ties, and what transformers says of them."""

from dataclasses import replace

import pytest
import tokenizers
import torch

from olmoflow.inference.native.network import Network
from olmoflow.model import Olmo3, Olmo3Config, YaRN, initialise
from olmoflow.model.hf.config import to_hf_config
from olmoflow.model.hf.names import NAMES
from olmoflow.tokens.tokenizer import Tokenizer

# Of the byte-level alphabet: printable ASCII, the space and the newline.
LETTERS = [*map(chr, range(33, 127)), "Ġ", "Ċ"][-94:]

CONFIG = Olmo3Config(
    vocab_size=96,
    d_model=48,
    n_layers=4,
    n_heads=4,
    n_kv_heads=4,
    ffn_hidden_size=96,
    sliding_window=24,
    max_sequence_length=320,
    init_std=0.3,
)
YARN = YaRN(factor=4.0, original_max_position=80)
CONFIGS = {
    "plain": CONFIG,
    "gqa and yarn": replace(CONFIG, n_kv_heads=2, yarn=YARN),
}


def make_model(config: Olmo3Config, seed: int = 3, **settings) -> Olmo3:
    model = Olmo3(config, **settings)
    initialise(model, seed=seed)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module", params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture
def model(config):
    return make_model(config)


@pytest.fixture(scope="module")
def transformers_model(config):
    from transformers import Olmo3Config as HFConfig
    from transformers import Olmo3ForCausalLM

    values = to_hf_config(config, config.vocab_size, "float32")
    theirs = Olmo3ForCausalLM(HFConfig(**values, pad_token_id=0, eos_token_id=None)).eval()
    ours = make_model(config).state_dict()
    theirs.load_state_dict({NAMES.theirs(name): tensor for name, tensor in ours.items()})
    return theirs


@pytest.fixture(scope="module")
def prompts():
    """Shorter and longer than the window and than the smallest row of the cache."""
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 2, 23, 24, 25, 90, 63, 64, 65, 140, 3]
    return [torch.randint(96, (length,), generator=generator).tolist() for length in lengths]


@pytest.fixture(scope="session")
def tokenizer():
    """Bytes, and two special tokens: every text can be said, every id but those is one byte."""
    backend = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={c: i for i, c in enumerate(LETTERS)}, merges=[])
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>", "<|im_end|>"])
    return Tokenizer(backend, {"eos_token": "<|endoftext|>"})


@pytest.fixture
def tokens_read(monkeypatch):
    """How many tokens networks have read since the test began."""
    lengths = []

    def count(name, place):
        run = getattr(Network, name)

        def counted(self, *arguments):
            lengths.append(len(arguments[place]))
            before = len(lengths)
            done = run(self, *arguments)
            del lengths[before:]  # what it calls itself reads the same tokens
            return done

        monkeypatch.setattr(Network, name, counted)

    for name, place in (("hidden_states", 0), ("read", 0), ("next_logits", 1)):
        count(name, place)
    return lambda: sum(lengths)
