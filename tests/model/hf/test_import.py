"""Hugging Face folders come in bit by bit, and what is no Olmo 3 is refused by name."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Olmo3Config as TheirConfig
from transformers import Olmo3ForCausalLM

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.config import YaRN
from olmoflow.model.hf import export_hf, import_hf
from olmoflow.model.hf.config import from_hf_config, to_hf_config

YARN = YaRN(factor=8.0, original_max_position=8192)


@pytest.fixture
def folder(tmp_path, config, make_model, tokenizer_folder):
    """An exported model, all rows kept."""
    target = tmp_path / "model"
    tensors = make_model(config).state_dict().items()
    export_hf(tensors, config, target, tokenizer=tokenizer_folder, vocab_size=config.vocab_size)
    return target


@pytest.mark.parametrize("max_shard_bytes", [10**9, 50_000])
def test_what_was_exported_comes_back_bit_by_bit(
    tmp_path, config, make_model, tokenizer_folder, max_shard_bytes
):
    model = make_model(config)
    export_hf(
        model.state_dict().items(),
        config,
        tmp_path / "model",
        tokenizer=tokenizer_folder,
        vocab_size=config.vocab_size,
        max_shard_bytes=max_shard_bytes,
    )
    imported = import_hf(tmp_path / "model")
    assert imported.config == config
    assert imported.tokenizer == tmp_path / "model"
    tensors = dict(imported.tensors)
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(tensors[name], t) for name, t in model.state_dict().items())


def test_a_model_that_transformers_saved(tmp_path, ids):
    torch.manual_seed(0)
    settings = TheirConfig(
        vocab_size=320,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=1,
        max_position_embeddings=256,
        sliding_window=16,
        rope_parameters={
            "full_attention": {
                "rope_type": "yarn",
                "rope_theta": 500_000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            },
            "sliding_attention": {"rope_type": "default", "rope_theta": 500_000.0},
        },
        # Wide, so that a wrong mask or rotation shows.
        initializer_range=0.2,
    )
    theirs = Olmo3ForCausalLM(settings).eval()
    theirs.save_pretrained(tmp_path)
    imported = import_hf(tmp_path)
    assert imported.tokenizer is None
    assert imported.config.yarn == YaRN(factor=4.0, original_max_position=64)
    ours = Olmo3(imported.config).eval()
    ours.load_state_dict(dict(imported.tensors))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=0, atol=1e-5)


# config.json

PUBLISHED = {
    "architectures": ["Olmo3ForCausalLM"],
    "model_type": "olmo3",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "eos_token_id": 100257,
    "pad_token_id": 100277,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 11008,
    "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 8,
    "max_position_embeddings": 65536,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "attention_factor": 1.2079441541679836,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 8.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "yarn",
    },
    "rope_theta": 500000,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": 100278,
}
PUBLISHED_32B = PUBLISHED | {
    "hidden_size": 5120,
    "intermediate_size": 27648,
    "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 16,
    "num_attention_heads": 40,
    "num_hidden_layers": 64,
    "num_key_value_heads": 8,
}
OLMO3_7B = Olmo3Config(
    vocab_size=100278,
    d_model=4096,
    n_layers=32,
    n_heads=32,
    n_kv_heads=32,
    ffn_hidden_size=11008,
    yarn=YARN,
    max_sequence_length=65536,
)
OLMO3_32B = dataclasses.replace(
    OLMO3_7B, d_model=5120, n_layers=64, n_heads=40, n_kv_heads=8, ffn_hidden_size=27648
)


@pytest.mark.parametrize(
    ("published", "expected", "parameters"),
    [
        (PUBLISHED, OLMO3_7B, 7_298_011_136),
        (PUBLISHED_32B, OLMO3_32B, 32_233_522_176),
    ],
    ids=["7B", "32B"],
)
def test_the_published_configs(published, expected, parameters):
    config = from_hf_config(published, "config.json")
    assert config == expected
    assert config.num_parameters == parameters


def test_a_published_config_of_the_first_stage():
    plain = PUBLISHED | {"rope_scaling": None, "max_position_embeddings": 8192}
    config = from_hf_config(plain, "config.json")
    assert config == dataclasses.replace(OLMO3_7B, yarn=None, max_sequence_length=8192)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"yarn": None},
        {"yarn": YaRN(factor=2.5, beta_fast=16.0, beta_slow=2.0, original_max_position=4096)},
        {"rope_theta": 10_000.0, "head_dim": 64},
        {"full_attention_every": 5, "sliding_window": 128, "norm_eps": 1e-5, "init_std": 0.01},
    ],
)
def test_configs_go_out_and_come_back(change):
    config = dataclasses.replace(OLMO3_7B, **change)
    values = to_hf_config(config, config.vocab_size, "bfloat16")
    assert from_hf_config(json.loads(json.dumps(values)), "config.json") == config
    theirs = TheirConfig(**values).to_dict()
    assert from_hf_config(theirs, "config.json") == config


ROPE = to_hf_config(OLMO3_7B, 100278, "bfloat16")["rope_parameters"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llama"}, "model_type: 'llama' found, but Olmo 3 here needs 'olmo3'"),
        ({"model_type": None}, "model_type: None found"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings: True found"),
        ({"hidden_act": "gelu"}, "hidden_act: 'gelu' found"),
        ({"layer_types": ["full_attention"] * 31}, 'layer_types: "31 layers'),
        (
            {"layer_types": (["full_attention"] + ["sliding_attention"] * 3) * 8},
            "layer_types: ",
        ),
        ({"sliding_window": None}, "sliding_window: None found"),
        ({"hidden_size": 0}, "DIR/config.json: hidden_size: 0 found"),
        ({"num_key_value_heads": 5}, "DIR/config.json: num_key_value_heads: 5 found"),
        (
            {"rope_scaling": PUBLISHED["rope_scaling"] | {"rope_type": "linear"}},
            "rope_parameters.full_attention.rope_type: 'linear' found",
        ),
        (
            {"rope_scaling": PUBLISHED["rope_scaling"] | {"mscale": 0.7}},
            "rope_parameters.full_attention.mscale: 0.7 found",
        ),
        (
            {"rope_scaling": PUBLISHED["rope_scaling"] | {"attention_factor": 1.0}},
            "rope_parameters.full_attention.attention_factor: 1.0 found",
        ),
        (
            {"rope_parameters": ROPE | {"sliding_attention": ROPE["full_attention"]}},
            "rope_parameters.sliding_attention.rope_type: 'yarn' found",
        ),
        ({"rope_theta": 10_000}, "rope_theta: 10000 found"),
        ({"vocab_size": "many"}, "DIR/config.json: vocab_size: 'many' found"),
        ({"layer_types": 5}, "DIR/config.json: no config of an Olmo 3: "),
        ({"rope_parameters": [1]}, "DIR/config.json: no config of an Olmo 3: "),
    ],
)
def test_a_config_that_is_none_of_ours_is_refused_by_key(change, message):
    with pytest.raises(UserError) as caught:
        from_hf_config(PUBLISHED | change, "DIR/config.json")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Folders that are not what they should be


def refusal(source):
    with pytest.raises(UserError) as caught:
        import_hf(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_folder_that_is_no_model(tmp_path):
    assert f"{tmp_path / 'config.json'}: missing" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "config.json: list found, a JSON object expected" in refusal(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "config.json: not JSON" in refusal(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED))
    assert "neither model.safetensors nor model.safetensors.index.json" in refusal(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    assert "weight_map: missing" in refusal(tmp_path)
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "../elsewhere.safetensors"}}))
    assert "names '../elsewhere.safetensors', which is not in the folder" in refusal(tmp_path)


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_tensors_that_are_missing_too_many_or_of_another_shape(folder):
    name = "model.layers.5.mlp.up_proj.weight"
    whole = load_file(folder / "model.safetensors")
    change_tensors(folder, lambda tensors: tensors.pop(name))
    assert refusal(folder) == f"{folder}: no tensor {name!r}, which Olmo 3 has"
    change_tensors(folder, lambda tensors: tensors.update({name: torch.ones(96, 65)}))
    message = refusal(folder)
    assert message == f"{folder}: tensor {name!r} has shape [96, 65], expected [96, 64]"
    extra = {name: whole[name], "model.layers.5.input_layernorm.weight": torch.ones(64)}
    change_tensors(folder, lambda tensors: tensors.update(extra))
    assert "'model.layers.5.input_layernorm.weight' is none of Olmo 3's" in refusal(folder)


def test_whole_numbers_are_no_weights(folder):
    change_tensors(
        folder, lambda tensors: tensors.update({"model.norm.weight": torch.ones(64).int()})
    )
    assert "tensor 'model.norm.weight' is I32, expected one of BF16" in refusal(folder)


def test_a_damaged_file(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{path}: damaged" in refusal(folder)


def test_a_revision_of_the_hub_that_is_in_the_cache(tmp_path, monkeypatch, folder, config):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--allenai--Olmo-3"
    commit = "0123456789abcdef" * 2 + "01234567"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "stage1-step1000").write_text(commit)
    imported = import_hf("hf:allenai/Olmo-3@stage1-step1000")
    assert imported.config == config
    assert imported.tokenizer == repository / "snapshots" / commit
    assert len(dict(imported.tensors)) == 3 + 11 * config.n_layers
    assert "cannot be reached, and it is not in the cache" in refusal("hf:allenai/Olmo-3@main")


def test_a_hub_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refusal("hf:allenai/no-such-model@main")
    assert message.startswith("hf:allenai/no-such-model@main: the Hub cannot be reached")
    assert "hf:a/b/c: not on the Hub" in refusal("hf:a/b/c")
