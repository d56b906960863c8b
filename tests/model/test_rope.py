"""The rotary tables: transformers' YaRN, any device, any dtype."""

from dataclasses import replace

import pytest
import torch
from transformers import Olmo3Config as HFConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from olmoflow.model import Olmo3, Olmo3Config, YaRN
from olmoflow.model.hf.config import to_hf_config
from olmoflow.model.rope import RotaryTable, rotate

RELEASED = YaRN(factor=8.0, beta_fast=32.0, beta_slow=1.0, original_max_position=8192)
CPU = torch.device("cpu")


def make_config(head_dim: int, theta: float, yarn: YaRN, length: int) -> Olmo3Config:
    return Olmo3Config(
        vocab_size=64,
        d_model=2 * head_dim,
        n_layers=4,
        n_heads=2,
        n_kv_heads=2,
        ffn_hidden_size=32,
        rope_theta=theta,
        yarn=yarn,
        max_sequence_length=length,
    )


@pytest.mark.parametrize(
    ("head_dim", "theta", "yarn", "length"),
    [
        pytest.param(128, 500_000.0, RELEASED, 65_536, id="released"),
        pytest.param(16, 10_000.0, YaRN(3.0, 16.0, 2.0, 256), 768, id="other values"),
        pytest.param(8, 100.0, YaRN(4.0, 1e4, 1e-3, 32), 128, id="ramp past both ends"),
        pytest.param(16, 500_000.0, YaRN(1.0, 32.0, 1.0, 64), 64, id="factor 1"),
    ],
)
def test_yarn_is_that_of_transformers(head_dim, theta, yarn, length):
    config = make_config(head_dim, theta, yarn, length)
    hf = HFConfig(**to_hf_config(config, config.vocab_size, "float32"))
    frequencies, amplitude = ROPE_INIT_FUNCTIONS["yarn"](hf, "cpu", layer_type="full_attention")
    angles = torch.arange(length)[:, None].float() * frequencies

    cos, sin = RotaryTable(head_dim, length, theta, yarn)(0, length, CPU)
    # An angle of 65536 radians has fp32 steps of 1/128; away from there the tables are equal.
    for start, tolerance in ((0, 1e-4), (1024, 1e-2)):
        part = slice(start, min(length, start + 1024))
        torch.testing.assert_close(
            cos[part], angles.cos()[part] * amplitude, rtol=0, atol=tolerance
        )
        torch.testing.assert_close(
            sin[part], angles.sin()[part] * amplitude, rtol=0, atol=tolerance
        )


def test_the_released_amplitude():
    cos, _ = RotaryTable(128, 8, 500_000.0, RELEASED)(0, 1, CPU)
    assert cos[0, 0].item() == pytest.approx(1.2079441541679836)  # 0.1 ln 8 + 1


def test_scores_depend_on_the_distance_alone():
    """So it makes no difference that packed documents keep the positions of their row."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 32).unbind(0)
    table = RotaryTable(32, 200, 10_000.0, None)

    def score(query: int, key: int) -> float:
        turned = rotate(q, table(query, 1, CPU)), rotate(k, table(key, 1, CPU))
        return (turned[0] * turned[1]).sum().item()

    assert score(7, 3) == pytest.approx(score(157, 153), abs=1e-4)
    assert score(7, 3) != pytest.approx(score(7, 4), abs=1e-2)


def test_only_full_attention_layers_are_extended():
    config = make_config(16, 10_000.0, YaRN(factor=4.0, original_max_position=64), 256)
    model = Olmo3(config)
    plain = Olmo3(replace(config, yarn=None))
    assert torch.equal(model.window_rope.cos, plain.window_rope.cos)
    assert not torch.equal(model.full_rope.cos, plain.full_rope.cos)


def test_tables_survive_casts_and_the_meta_device():
    config = make_config(16, 10_000.0, YaRN(factor=4.0, original_max_position=64), 256)
    expected = Olmo3(config).full_rope(3, 5, CPU)
    with torch.device("meta"):
        model = Olmo3(config)
    tables = {
        "cast": Olmo3(config).to(torch.bfloat16).full_rope,
        "allocated": model.to_empty(device="cpu").full_rope,
    }
    with torch.device("meta"):
        tables["still meta, its weights assigned"] = Olmo3(config).full_rope
    for name, table in tables.items():
        found = table(3, 5, CPU)
        for ours, wanted in zip(found, expected, strict=True):
            assert ours.dtype == torch.float32, name
            assert torch.equal(ours, wanted), name


def test_state_dict_has_no_tables():
    model = Olmo3(make_config(16, 10_000.0, YaRN(), 256))
    assert not [name for name in model.state_dict() if "rope" in name]
