"""Exported folders: transformers loads them and computes what we compute."""

import dataclasses
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from olmoflow.errors import UserError
from olmoflow.model.config import YaRN
from olmoflow.model.hf import export_hf

TOKENS = 300  # of the tokenizer; the model of the fixtures has 384 rows


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"yarn": YaRN(factor=4.0, original_max_position=32)},
        {"head_dim": 32, "rope_theta": 10_000.0, "full_attention_every": 3},
        {"full_attention_every": 1, "n_kv_heads": 4},
    ],
    ids=["published form", "yarn", "other widths", "full attention"],
)
def test_transformers_computes_the_same_logits(
    tmp_path, config, make_model, tokenizer_folder, ids, change
):
    model = make_model(dataclasses.replace(config, **change))
    target = tmp_path / "exported"
    export_hf(model.state_dict().items(), model.config, target, tokenizer=tokenizer_folder)
    theirs = AutoModelForCausalLM.from_pretrained(target, dtype="auto").eval()
    with torch.no_grad():
        expected, found = model(ids), theirs(ids).logits
    assert found.shape == (2, 100, TOKENS), "the padding of the vocabulary is undone"
    torch.testing.assert_close(found, expected[..., :TOKENS], rtol=0, atol=1e-5)


def test_the_tokenizer_goes_along(tmp_path, config, make_model, tokenizer_folder):
    model = make_model(config)
    target = tmp_path / "exported"
    export_hf(model.state_dict().items(), config, target, tokenizer=tokenizer_folder)
    tokenizer = AutoTokenizer.from_pretrained(target)
    text = "The lazy fox isn't nice: ü 𝄞 1,234\n\n  <|endoftext|>"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert ids[-1] == tokenizer.eos_token_id == TOKENS - 2
    assert tokenizer.pad_token_id == TOKENS - 1
    for file in ("config.json", "generation_config.json"):
        settings = json.loads((target / file).read_text())
        assert (settings["eos_token_id"], settings["pad_token_id"]) == (TOKENS - 2, TOKENS - 1)
        assert settings["bos_token_id"] is None


def test_large_models_become_several_files(tmp_path, config, make_model, tokenizer_folder, ids):
    model = make_model(config)
    target = tmp_path / "exported"
    limit = 100_000
    export_hf(
        model.state_dict().items(),
        config,
        target,
        tokenizer=tokenizer_folder,
        max_shard_bytes=limit,
    )
    index = json.loads((target / "model.safetensors.index.json").read_text())
    files = sorted(target.glob("*.safetensors"))
    assert len(files) > 5
    assert {file.name for file in files} == set(index["weight_map"].values())
    stored = [load_file(file) for file in files]
    sizes = [sum(tensor.nbytes for tensor in tensors.values()) for tensors in stored]
    assert max(sizes) <= limit
    assert sum(sizes) == index["metadata"]["total_size"]
    for file, tensors in zip(files, stored, strict=True):
        assert all(index["weight_map"][name] == file.name for name in tensors)
    theirs = AutoModelForCausalLM.from_pretrained(target, dtype="auto").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, model(ids)[..., :TOKENS], rtol=0, atol=1e-5)


def test_another_dtype_and_more_rows(tmp_path, config, make_model, tokenizer_folder):
    model = make_model(config)
    target = tmp_path / "exported"
    export_hf(
        model.state_dict().items(),
        config,
        target,
        tokenizer=tokenizer_folder,
        vocab_size=384,
        dtype=torch.bfloat16,
    )
    tensors = load_file(target / "model.safetensors")
    embedding = model.embeddings.weight.detach()
    assert torch.equal(tensors["model.embed_tokens.weight"], embedding.bfloat16())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert json.loads((target / "config.json").read_text())["dtype"] == "bfloat16"


MEMORY = """
import sys
from pathlib import Path
import torch
from olmoflow.model.config import Olmo3Config
from olmoflow.model.hf import export_hf
from olmoflow.model.rename import parameter_shapes

target, tokenizer = map(Path, sys.argv[1:])
# ru_maxrss would begin with what the process that started this one held.
status = lambda: Path("/proc/self/status").read_text()
peak = lambda: int(status().partition("VmHWM:")[2].split()[0]) // 1024

def export(n_layers, name):
    config = Olmo3Config(
        vocab_size=512, d_model=512, n_layers=n_layers, n_heads=8, n_kv_heads=8,
        ffn_hidden_size=2048,
    )
    shapes = parameter_shapes(config).items()
    tensors = ((name, torch.ones(shape)) for name, shape in shapes)
    export_hf(tensors, config, target / name, tokenizer=tokenizer, max_shard_bytes=2**25)

export(1, "small")
before = peak()
export(20, "large")
print(len(list((target / "large").glob("*.safetensors"))), peak() - before)
"""


def test_memory_is_bounded_by_one_file(tmp_path, tokenizer_folder):
    """320 MiB go into files of 32 MiB."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path), str(tokenizer_folder)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    files, mebibytes = map(int, output.split())
    assert files >= 10
    assert mebibytes < 48, "MiB more than for a model of one layer"


def test_what_does_not_fit_is_named_in_one_line(tmp_path, config, make_model, tokenizer_folder):
    def export(tensors=None, target=tmp_path / "new", tokenizer=tokenizer_folder, **options):
        tensors = make_model(config).state_dict() if tensors is None else tensors
        export_hf(tensors.items(), config, target, tokenizer=tokenizer, **options)

    def refusal(**options):
        with pytest.raises(UserError) as caught:
            export(**options)
        message = str(caught.value)
        assert "\n" not in message
        assert not (tmp_path / "new").exists()
        return message

    missing, grown, strange = (make_model(config).state_dict() for _ in range(3))
    del missing["norm.weight"]
    grown["blocks.3.attention.q_norm.weight"] = torch.ones(65)
    strange["blocks.3.attention.bias"] = torch.ones(1)
    assert "no tensor 'model.norm.weight'" in refusal(tensors=missing)
    message = refusal(tensors=grown)
    assert "'model.layers.3.self_attn.q_norm.weight' has shape [65], expected [64]" in message
    assert "'blocks.3.attention.bias' is none of Olmo 3's" in refusal(tensors=strange)
    assert "300 ids and 299 rows" in refusal(vocab_size=299)
    assert "the model has 384" in refusal(vocab_size=385)
    assert "tokenizer.json: missing" in refusal(tokenizer=tmp_path)
    (tmp_path / "file").write_text("")
    assert "exists already" in refusal(target=tmp_path / "file")
    assert "exists already" in refusal(target=tmp_path)
