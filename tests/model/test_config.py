"""The published sizes, and what a mistaken config says."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config, YaRN
from olmoflow.model.rename import parameter_shapes

SIZES = Path(__file__).parents[2] / "conf" / "model"

# Parameters (all, then without the input embedding) and full-attention layers as OLMo-core's
# factories of these names count them, with the vocabulary padded to 100352.
PUBLISHED = {
    "olmo3_1m": (2_448_620, 1_244_396, 1),
    "olmo3_14m": (26_740_864, 13_895_808, 1),
    "olmo3_30m": (54_792_448, 29_102_336, 1),
    "olmo3_60m": (95_957_376, 57_422_208, 2),
    "olmo3_100m": (153_117_184, 101_736_960, 3),
    "olmo3_190m": (267_424_512, 190_354_176, 3),
    "olmo3_370m": (474_022_912, 371_262_464, 4),
    "olmo3_600m": (676_414_720, 547_964_160, 4),
    "olmo3_760m": (912_360_960, 758_220_288, 4),
    "olmo3_1b": (1_484_916_736, 1_279_395_840, 4),
    "olmo3_3b": (3_503_508_736, 3_169_537_280, 4),
    "olmo3_7b": (7_298_617_344, 6_887_575_552, 8),
    "olmo3_13b": (13_716_198_400, 13_202_396_160, 10),
    "olmo3_32b": (32_234_279_936, 31_720_477_696, 16),
}

# GFLOPs per token of training, as OLMo-core's speed monitor counts them.
PUBLISHED_GFLOPS = {
    ("olmo3_190m", 8192): 1.71,
    ("olmo3_370m", 8192): 3.23,
    ("olmo3_1b", 8192): 9.69,
    ("olmo3_7b", 8192): 49.38,
    ("olmo3_32b", 8192): 210.45,
    ("olmo3_7b", 65_536): 71.93,
    ("olmo3_32b", 65_536): 266.82,
}

SMALL = Olmo3Config(
    vocab_size=64, d_model=16, n_layers=4, n_heads=2, n_kv_heads=2, ffn_hidden_size=32
)


def published_size(name: str) -> Olmo3Config:
    own, shared = (OmegaConf.load(SIZES / f) for f in (f"{name}.yaml", "../shared/olmo3.yaml"))
    values = OmegaConf.to_container(OmegaConf.merge(shared, own), resolve=True)
    del values["_target_"], values["defaults"]
    return Olmo3Config.from_dict(values)


def test_every_size_is_published_or_for_a_laptop():
    assert {p.stem for p in SIZES.glob("*.yaml")} == {*PUBLISHED, "olmo3_tiny"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    config = published_size(name)
    full = sum(config.is_full_attention(layer) for layer in range(config.n_layers))
    counted = config.num_parameters, config.num_non_embedding_parameters, full
    assert counted == PUBLISHED[name]


@pytest.mark.parametrize("name", [*PUBLISHED, "olmo3_tiny"])
def test_the_network_has_the_parameters_that_its_config_counts(name):
    config = published_size(name)
    built = sum(shape.numel() for shape in parameter_shapes(config).values())
    assert built == config.num_parameters


@pytest.mark.parametrize(("name", "length"), PUBLISHED_GFLOPS)
def test_published_flops_per_token(name, length):
    gflops = published_size(name).flops_per_token(length) / 1e9
    assert gflops == pytest.approx(PUBLISHED_GFLOPS[name, length], abs=0.01)  # cut off, not rounded


@pytest.mark.parametrize("name", [*PUBLISHED, "olmo3_tiny"])
def test_values_that_all_sizes_share(name):
    config = published_size(name)
    assert config.rope_theta == 500_000
    assert config.norm_eps == 1e-6
    assert (config.init_std == 0.02) == (name != "olmo3_tiny")
    assert config.yarn is None
    assert (config.sliding_window == 4096) == (name != "olmo3_tiny")


def test_the_demo_size():
    assert 3e6 < published_size("olmo3_tiny").num_parameters < 6e6


@pytest.mark.parametrize(
    ("n_layers", "every", "full"),
    [(8, 4, [3, 7]), (6, 4, [3, 5]), (3, 4, [2]), (3, 1, [0, 1, 2])],
)
def test_which_layers_see_everything(n_layers, every, full):
    config = replace(SMALL, n_layers=n_layers, full_attention_every=every, sliding_window=5)
    assert [i for i in range(n_layers) if config.window(i) is None] == full
    assert all(config.window(i) in (None, 5) for i in range(n_layers))


@pytest.mark.parametrize("yarn", [None, YaRN(factor=2.0)])
def test_a_config_survives_json(yarn):
    config = replace(SMALL, yarn=yarn)
    assert Olmo3Config.from_dict(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": 0}, "model.d_model: 0 found, a positive integer expected"),
        ({"n_layers": 2.5}, "model.n_layers: 2.5 found, a positive integer expected"),
        ({"sliding_window": None}, "model.sliding_window: None found, a positive integer expected"),
        ({"vocab_size": True}, "model.vocab_size: True found, a positive integer expected"),
        ({"rope_theta": None}, "model.rope_theta: None found, a positive number expected"),
        ({"norm_eps": "1e-6"}, "model.norm_eps: '1e-6' found, a positive number expected"),
        (
            {"n_heads": 3},
            "model.n_heads: 3 found, a divisor of d_model=16 expected (or give head_dim)",
        ),
        (
            {"n_heads": 4, "n_kv_heads": 3},
            "model.n_kv_heads: 3 found, a divisor of n_heads=4 expected",
        ),
        ({"head_dim": 5}, "model.head_dim: 5 found, an even number expected"),
        ({"yarn": {"factor": 8}}, "model.yarn: dict found, YaRN or null expected"),
    ],
)
def test_an_impossible_shape_is_named(change, message):
    with pytest.raises(UserError) as error:
        replace(SMALL, **change)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"factor": 0.5}, "model.yarn.factor: 0.5 found, at least 1 expected"),
        (
            {"beta_fast": 1.0, "beta_slow": 1.0},
            "model.yarn.beta_fast: 1.0 found, more than beta_slow=1.0 expected",
        ),
        (
            {"original_max_position": 0},
            "model.yarn.original_max_position: 0 found, a positive integer expected",
        ),
    ],
)
def test_an_impossible_extension_is_named(values, message):
    with pytest.raises(UserError) as error:
        YaRN(**values)
    assert str(error.value) == message


def test_unknown_and_missing_keys_are_named():
    values = asdict(SMALL)
    with pytest.raises(UserError, match=r"^model\.d_modle: unknown key; expected one of vocab_siz"):
        Olmo3Config.from_dict(values | {"d_modle": 16})
    with pytest.raises(UserError, match=r"^model\.yarn\.fctor: unknown key; expected one of facto"):
        Olmo3Config.from_dict(values | {"yarn": {"fctor": 2.0}})
    del values["d_model"]
    with pytest.raises(UserError, match=r"^model\.d_model: missing$"):
        Olmo3Config.from_dict(values)


def test_input_that_is_too_long_is_named():
    model = Olmo3(replace(SMALL, max_sequence_length=8))
    with pytest.raises(UserError) as error:
        model(torch.zeros(1, 9, dtype=torch.int64))
    expected = "model.max_sequence_length: a sequence of 9 tokens found, at most 8 expected"
    assert str(error.value) == expected


def test_documents_side_by_side_may_fill_a_row_that_is_longer_than_any_of_them():
    model = Olmo3(replace(SMALL, max_sequence_length=8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    documents = torch.randint(SMALL.vocab_size, (3, 8))
    packed = model(documents.reshape(1, 24), torch.arange(3).repeat_interleave(8)[None])
    torch.testing.assert_close(packed[0], model(documents).flatten(0, 1), rtol=1e-4, atol=1e-5)
