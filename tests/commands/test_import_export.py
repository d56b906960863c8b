"""`olmoflow import` and `olmoflow export` from end to end, as a script calls them."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer

from olmoflow.commands.main import main

FIXTURES = Path(__file__).parents[1] / "fixtures" / "olmo_core"
TOKENS = 120  # of 128 rows


@pytest.fixture
def olmoflow(tmp_path, monkeypatch, capfd):
    """Runs a command; returns its JSON, or the one line of its error."""
    monkeypatch.setenv("OLMOFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        capfd.readouterr()
        # In this process: importing torch anew for each would take most of the time.
        assert main([*map(str, arguments), "output=json"]) == status
        written = capfd.readouterr()
        if status == 0:
            return json.loads(written.out)
        assert written.out == ""
        assert len(written.err.strip().splitlines()) == 1, written.err
        return written.err.strip()

    return run


@pytest.fixture
def olmo_core(tmp_path):
    with tarfile.open(FIXTURES / "step4.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "step4"


@pytest.fixture
def tokenizer(tmp_path):
    """A character tokenizer with `TOKENS` ids."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    letters = [chr(33 + number) for number in range(TOKENS - 2)]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    backend.train_from_iterator(letters, trainers.BpeTrainer(vocab_size=TOKENS - 2))
    backend.add_special_tokens([AddedToken("<|endoftext|>"), AddedToken("<|pad|>")])
    assert backend.get_vocab_size() == TOKENS
    backend.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_from_olmo_core_to_transformers_and_back(tmp_path, olmoflow, olmo_core, tokenizer):
    start = f"source=olmo_core:{olmo_core}"
    made = olmoflow("import", start, f"tokenizer_from={tokenizer}", "name=start", "verify=true")
    path = Path(made.pop("path"))
    assert made == {
        "checkpoint": "start",
        "parameters": 13552,
        "step": 4,
        "optimizer": True,
        "tokens": 768,
    }
    assert path == tmp_path / "home" / "checkpoint" / "start"
    again = [start, f"tokenizer_from={tokenizer}", "name=start", "verify=true", "output=json"]
    command = [sys.executable, "-m", "olmoflow", "import", *again]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == made | {"path": str(path)}, "the same work is not done twice"

    target = tmp_path / "hf"
    written = olmoflow(
        "export", "checkpoint=start@4", f"target={target}", "dtype=float32", "max_shard_bytes=2e4"
    )
    assert written["checkpoint"] == "start@4"
    assert written["target"] == str(target)
    assert set(written["files"]) == {file.name for file in target.iterdir()}
    assert "model.safetensors.index.json" in written["files"]
    assert written["bytes"] == sum(file.stat().st_size for file in target.iterdir())
    expected = load_file(FIXTURES / "expected.safetensors")
    model = AutoModelForCausalLM.from_pretrained(target).eval()
    with torch.no_grad():
        logits = model(expected["ids"]).logits
    torch.testing.assert_close(logits, expected["logits"][..., :TOKENS], rtol=0, atol=1e-5)
    assert AutoTokenizer.from_pretrained(target).decode([118]) == "<|endoftext|>"

    back = olmoflow("import", f"source={target}", "name=back")
    assert (back["step"], back["optimizer"]) == (0, False)
    files = {file.name for file in (Path(back["path"]) / "tokenizer").iterdir()}
    assert files == {"tokenizer.json", "tokenizer_config.json"}, "and no weights"
    olmoflow("export", "checkpoint=back", f"target={tmp_path / 'hf2'}", "dtype=float32")
    first = {k: v for file in target.glob("*.safetensors") for k, v in load_file(file).items()}
    second = load_file(tmp_path / "hf2" / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_import_that_was_killed_goes_on(olmoflow, olmo_core):
    made = olmoflow("import", f"source=olmo_core:{olmo_core}", "name=start")
    path = Path(made["path"])
    (path / "provenance.json").unlink()
    assert olmoflow("import", f"source=olmo_core:{olmo_core}", "name=start") == made
    (path / "provenance.json").unlink()
    step = path / "steps" / "step-00000004"
    step.rename(step.with_suffix(".partial"))
    assert olmoflow("import", f"source=olmo_core:{olmo_core}", "name=start") == made


def test_mistakes_get_one_line(tmp_path, olmoflow, olmo_core, tokenizer):
    config = olmo_core / "config.json"

    def refusal(*arguments):
        return olmoflow(*arguments, status=2)

    assert "source=nothing: no such folder; expected DIR, hf:" in refusal(
        "import", "source=nothing"
    )
    assert "source=olmo_core:: no such folder" in refusal("import", "source='olmo_core:'")
    assert "model_type: None found" in refusal("import", f"source={olmo_core}")
    assert f"{tokenizer / 'config.json'}: missing" in refusal(
        "import", f"source=olmo_core:{tokenizer}"
    )
    larger = tmp_path / "larger"
    shutil.copytree(tokenizer, larger)
    backend = Tokenizer.from_file(str(larger / "tokenizer.json"))
    backend.add_tokens([f"<{number}>" for number in range(9)])
    backend.save(str(larger / "tokenizer.json"))
    source = f"source=olmo_core:{olmo_core}"
    message = refusal("import", source, f"tokenizer_from={larger}")
    assert f"{larger}: the tokenizer has 129 ids, but the model has 128 rows" in message
    (larger / "tokenizer_config.json").write_text("{")
    backend = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    backend.save(str(larger / "tokenizer.json"))
    message = refusal("import", source, f"tokenizer_from={larger}")
    assert f"{larger / 'tokenizer_config.json'}: not JSON" in message
    (larger / "tokenizer.json").write_text("{")
    message = refusal("import", source, f"tokenizer_from={larger}")
    assert f"{larger / 'tokenizer.json'}: damaged, or no Hugging Face tokenizer" in message
    assert "tokenizer_from=no: no such path" in refusal("import", source, "tokenizer_from=no")

    olmoflow("import", source, "name=bare")
    message = refusal("export", "checkpoint=bare", "target=new")
    assert "checkpoint=bare: has no tokenizer" in message
    assert "bare@5: no such step" in refusal("export", "checkpoint=bare@5", "target=new")
    source_of_whole = f"source=olmo_core:{shutil.copytree(olmo_core, tmp_path / 'copy')}"
    values = json.loads(config.read_text())
    values["model"]["block"]["name"] = "default"
    config.write_text(json.dumps(values))
    message = refusal("import", source)
    assert f"{config}: model.block.name: 'default' found" in message
    assert "dtype=int8: expected one of" in refusal(
        "export", "checkpoint=bare", "target=new", "dtype=int8"
    )
    assert "target=.: exists already" in refusal("export", "checkpoint=bare", "target=.")
    whole = ["export", "checkpoint=whole"]
    olmoflow("import", source_of_whole, f"tokenizer_from={tokenizer}", "name=whole")
    for target in (config / "x", "n" * 300):
        assert f"target={target}: " in refusal(*whole, f"target={target}")
    assert "target: missing; expected" in refusal(*whole, "target=null")
    # Where a folder cannot be made: on Linux /proc says that there is no such place.
    beneath = tmp_path / "file" / "x"
    beneath.parent.write_text("a file")
    assert "cannot be made (not a directory); expected" in refusal(*whole, f"target={beneath}")
    assert not (tmp_path / "new").exists()
