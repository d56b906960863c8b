"""Our Olmo 3 against `transformers`' `Olmo3ForCausalLM`, fp32, random weights.

Any difference in window, mask, rotation, norm or grouping shows as a difference in logits; the
tests at the end prove that the comparison would notice a window that is off by one.
"""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import Olmo3Config as HFConfig
from transformers import Olmo3ForCausalLM

from olmoflow.model import KVCache, Olmo3, Olmo3Config, YaRN
from olmoflow.model.hf.config import to_hf_config
from olmoflow.model.hf.names import NAMES

LOGIT_TOLERANCE = 1e-5
GRADIENT_TOLERANCE = 1e-5  # of the parameter's largest gradient
WINDOW = 16

MHA = Olmo3Config(
    vocab_size=97,
    d_model=64,
    n_layers=5,
    n_heads=4,
    n_kv_heads=4,
    ffn_hidden_size=96,
    sliding_window=WINDOW,
    max_sequence_length=320,
)
GQA = replace(MHA, n_kv_heads=2)
# Heads wider than d_model / n_heads, one key head, and only the last layer full.
WIDE = replace(MHA, n_kv_heads=1, head_dim=24, full_attention_every=8)
# Extended from 32 tokens, so that both ends of YaRN's ramp lie within the 8 pairs of a head.
STRETCH = YaRN(factor=4.0, beta_fast=4.0, beta_slow=1.0, original_max_position=32)

ARCHITECTURES = {
    "mha": MHA,
    "gqa": GQA,
    "wide": WIDE,
    "mha-yarn": replace(MHA, yarn=STRETCH),
    "gqa-yarn": replace(GQA, yarn=STRETCH),
}
LENGTHS = {
    "within the window": WINDOW - 5,
    "one window": WINDOW,
    "one past": WINDOW + 1,
    "several": 3 * WINDOW + 7,
    "several blocks of queries": 263,
}


def build_pair(config: Olmo3Config) -> tuple[Olmo3, Olmo3ForCausalLM]:
    """The same random weights in both implementations."""
    torch.manual_seed(0)
    ours = Olmo3(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(std=0.1)
    values = to_hf_config(config, config.vocab_size, "float32")
    # Unless told otherwise they take token 1 for padding, whose embedding then gets no gradient.
    theirs = Olmo3ForCausalLM(HFConfig(**values, pad_token_id=None, eos_token_id=None))
    theirs.set_attn_implementation("eager")
    renamed = {NAMES.theirs(name): tensor for name, tensor in ours.state_dict().items()}
    theirs.load_state_dict(renamed, strict=True)
    return ours, theirs.eval()


def random_ids(config: Olmo3Config, length: int, batch: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(config.vocab_size, (batch, length), generator=generator)


def logit_difference(ours: Olmo3, theirs: Olmo3ForCausalLM, ids: Tensor) -> float:
    with torch.no_grad():
        return (ours(ids) - theirs(ids).logits).abs().max().item()


@pytest.mark.parametrize("length", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("config", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_logits(config, length):
    ours, theirs = build_pair(config)
    assert logit_difference(ours, theirs, random_ids(config, length)) <= LOGIT_TOLERANCE


@pytest.mark.parametrize("config", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_gradients_of_every_parameter(config):
    ours, theirs = build_pair(config)
    ids = random_ids(config, 207)
    for model, logits in ((ours, ours(ids)), (theirs, theirs(ids).logits)):
        cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        assert all(p.grad is not None for p in model.parameters())
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        wanted = expected.pop(NAMES.theirs(name))
        off = (parameter.grad - wanted).abs().max() / wanted.abs().max()
        assert off <= GRADIENT_TOLERANCE, name
    assert not expected


@pytest.mark.parametrize("config", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_decoding_with_a_cache(config):
    """A prompt, then a few tokens at once, then one by one: their full forward at each position."""
    ours, theirs = build_pair(config)
    ids = random_ids(config, 3 * WINDOW + 7)
    cache = KVCache(config, ids.shape[0], ids.shape[1])
    pieces = [ids[:, : WINDOW + 3], ids[:, WINDOW + 3 : WINDOW + 8]]
    pieces += ids[:, WINDOW + 8 :].split(1, dim=1)
    with torch.no_grad():
        stepwise = torch.cat([ours(piece, cache=cache) for piece in pieces], dim=1)
        assert (stepwise - theirs(ids).logits).abs().max() <= LOGIT_TOLERANCE


@pytest.mark.parametrize("window", [WINDOW - 1, WINDOW + 1])
def test_a_window_off_by_one_is_noticed(window):
    ours, theirs = build_pair(MHA)
    off = Olmo3(replace(MHA, sliding_window=window))
    off.load_state_dict(ours.state_dict())
    ids = random_ids(MHA, 3 * WINDOW + 7)
    assert logit_difference(ours, theirs, ids) <= LOGIT_TOLERANCE
    assert logit_difference(off, theirs, ids) > 100 * LOGIT_TOLERANCE


def test_yarn_on_the_wrong_layers_is_noticed():
    """transformers 5.0 to 5.12 applied it to all layers."""
    config = replace(MHA, yarn=STRETCH)
    ours, theirs = build_pair(config)
    ours.window_rope = ours.full_rope
    assert logit_difference(ours, theirs, random_ids(config, 55)) > 100 * LOGIT_TOLERANCE
