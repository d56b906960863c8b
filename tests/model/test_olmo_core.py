"""Checkpoints that OLMo-core 3.0.0 wrote: same logits, same moments, same next step.

tests/fixtures/olmo_core/make.py made the files and says what is in them.
"""

import dataclasses
import json
import pickle
import shutil
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import load
from torch.nn.functional import cross_entropy

from olmoflow.errors import UserError
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.checkpoint import write_checkpoint
from olmoflow.model.checkpoint.read import DataReader, read_index
from olmoflow.model.config import YaRN
from olmoflow.model.olmo_core import fetch_olmo_core, import_olmo_core
from olmoflow.model.olmo_core.config import read_olmo_core_config
from olmoflow.model.olmo_core.names import NAMES
from olmoflow.train.optimizer import SkipStepAdamW, parameter_groups

FIXTURES = Path(__file__).parents[1] / "fixtures" / "olmo_core"
CONFIG = Olmo3Config(
    vocab_size=128,  # 120 tokens and padding
    d_model=16,
    n_layers=4,
    n_heads=2,
    n_kv_heads=1,
    ffn_hidden_size=32,
    sliding_window=8,
    yarn=YaRN(factor=4.0, original_max_position=16),
    init_std=0.2,
    max_sequence_length=48,
)


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    target = tmp_path_factory.mktemp("olmo_core")
    with tarfile.open(FIXTURES / "step4.tar.xz") as archive:
        archive.extractall(target, filter="data")
    return target / "step4"


@pytest.fixture
def folder(tmp_path, unpacked):
    """A copy that a test may change."""
    return shutil.copytree(unpacked, tmp_path / "step4")


@pytest.fixture(scope="session")
def expected():
    return load_file(FIXTURES / "expected.safetensors")


def test_logits_are_those_of_olmo_core(unpacked, expected):
    imported = import_olmo_core(unpacked)
    assert imported.config == CONFIG
    assert (imported.step, imported.tokens) == (4, 768)
    model = Olmo3(imported.config).eval()
    model.load_state_dict(dict(imported.tensors))
    with torch.no_grad():
        logits = model(expected["ids"])
    torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=1e-5)


def test_every_moment_arrives_bit_by_bit(unpacked):
    optimizer = dict(import_olmo_core(unpacked).optimizer)
    names = [name for name, _ in Olmo3(CONFIG).named_parameters()]
    wanted = {f"state.{n}.{kind}" for n in names for kind in ("step", "exp_avg", "exp_avg_sq")}
    assert optimizer.keys() == wanted
    stored = {}
    for key, tensor in optimizer.items():
        name, _, kind = key.removeprefix("state.").rpartition(".")
        stored[f"optim.state.{NAMES.theirs(name)}.{kind}"] = torch.empty_like(tensor)
        assert tensor.any(), "moments of a trained model"
        # OLMo-core makes the state for its checkpoint of step 0 by an update that counts.
        assert kind != "step" or tensor == 5
    # All at once by torch's own loader; OLMo-core's index names a class that it does not know.
    folder = unpacked / "model_and_optim"
    load(stored, storage_reader=DataReader(folder, read_index(folder)))
    for key, tensor in optimizer.items():
        name, _, kind = key.removeprefix("state.").rpartition(".")
        assert torch.equal(tensor, stored[f"optim.state.{NAMES.theirs(name)}.{kind}"])


def test_the_next_step_is_the_one_that_olmo_core_takes(tmp_path, unpacked, expected):
    """Through a checkpoint of ours, as `olmoflow train checkpoint=NAME@4` takes it."""
    imported = import_olmo_core(unpacked)
    checkpoint = write_checkpoint(
        tmp_path, imported.config, imported.tensors, imported.optimizer, imported.step
    )
    checkpoint.verify()
    assert checkpoint.step == 4
    model = Olmo3(checkpoint.config)
    optimizer = SkipStepAdamW(parameter_groups(model), lr=1e-2)
    checkpoint.load_model(model)
    checkpoint.load_optimizer(model, optimizer, groups=False)
    ids = expected["ids"]
    loss = cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.testing.assert_close(norm, expected["gradient_norm"], rtol=1e-6, atol=0)
    optimizer.observe(loss.detach(), norm)
    optimizer.step()
    for name, parameter in model.named_parameters():
        theirs = expected[f"next.{NAMES.theirs(name)}"]
        difference = (parameter.detach() - theirs).norm() / theirs.norm()
        assert difference <= 1e-6, name
        assert not torch.equal(theirs, dict(checkpoint.iter_tensors())[name]), "it was trained"


def test_weights_alone_come_without_optimizer(folder):
    path = folder / "model_and_optim" / ".metadata"
    change_index(path, lambda index: drop(index, lambda key: key.startswith("optim.")))
    imported = import_olmo_core(folder)
    assert imported.optimizer is None
    assert len(dict(imported.tensors)) == 47


@pytest.mark.parametrize(
    ("name", "step"), [("step1413000", 1413000), ("step10-unsharded", 10), ("soup", 0)]
)
def test_without_trainer_state_the_folder_names_the_step(tmp_path, unpacked, name, step):
    folder = shutil.copytree(unpacked, tmp_path / name)
    shutil.rmtree(folder / "train")
    imported = import_olmo_core(folder)
    assert (imported.step, imported.tokens) == (step, None)


@pytest.fixture
def served(unpacked):
    """The URL of the checkpoint, and the list of what is asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    root = partial(Handler, directory=str(unpacked.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), root) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/step4", asked
        server.shutdown()


def test_a_checkpoint_at_a_url_is_fetched_once(tmp_path, unpacked, served):
    url, asked = served
    seen = []
    folder = fetch_olmo_core(url, tmp_path, lambda done, total: seen.append((done, total)))
    assert folder == tmp_path / "step4"
    assert seen == [(number, 6) for number in range(1, 7)]
    here, there = import_olmo_core(folder), import_olmo_core(unpacked)
    assert (here.config, here.step, here.tokens) == (there.config, there.step, there.tokens)
    expected = dict(there.tensors)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in here.tensors)
    asked.clear()
    (folder / "model_and_optim" / "__0_3.distcp").unlink()
    fetch_olmo_core(url, tmp_path)
    assert asked == ["/step4/model_and_optim/__0_3.distcp"], "what is there is kept"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("{}5", "{}5/config.json: missing, so it is not a checkpoint of OLMo-core"),
        ("http://127.0.0.1:1/step4", "http://127.0.0.1:1/step4/config.json: cannot be read: "),
        ("nothing://host/step4", "nothing://host/step4: cannot be opened: "),
    ],
)
def test_a_url_that_holds_no_checkpoint(tmp_path, served, url, message):
    with pytest.raises(UserError) as caught:
        fetch_olmo_core(url.format(served[0]), tmp_path)
    assert message.format(served[0]) in str(caught.value)
    assert "\n" not in str(caught.value)


# Nothing is executed


class Malice:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_what_would_run_code_is_not_run(tmp_path, folder):
    target = tmp_path / "touched"
    state = {"global_step": 7, "global_train_tokens_seen": 99, "callbacks": Malice(target)}
    torch.save(state, folder / "train" / "rank0.pt")
    imported = import_olmo_core(folder)
    assert (imported.step, imported.tokens) == (7, 99)
    (folder / "model_and_optim" / ".metadata").write_bytes(pickle.dumps(Malice(target)))
    assert "which is not plain data" in refusal(folder)
    assert not target.exists()


# config.json


def published(values):
    """The form of the runs of 2025: attention under its older name, a kernel named by a flag."""
    block = values["model"]["block"]
    attention = block.pop("sequence_mixer")
    del attention["backend"], attention["type"]
    block["attention"] = attention | {"use_flash": True}


def stage_one(values):
    del values["model"]["block_overrides"]


def no_window(values):
    stage_one(values)
    del values["model"]["block"]["sequence_mixer"]["sliding_window"]


def other_period(values):
    stage_one(values)
    window = values["model"]["block"]["sequence_mixer"]["sliding_window"]
    window["pattern"] = [512, -1]
    values["model"]["n_layers"] = 5


def all_heads(values):
    for block in (values["model"]["block"], values["model"]["block_overrides"]["3"]):
        del block["sequence_mixer"]["n_kv_heads"]


@pytest.mark.parametrize(
    ("change", "expected_change"),
    [
        (lambda values: None, {}),
        (published, {}),
        (stage_one, {"yarn": None}),
        (no_window, {"yarn": None, "full_attention_every": 1, "sliding_window": 4096}),
        (
            other_period,
            {"yarn": None, "full_attention_every": 2, "sliding_window": 512, "n_layers": 5},
        ),
        (all_heads, {"n_kv_heads": 2}),
        (lambda values: values.pop("train_module"), {}),
        (
            lambda values: (values.pop("train_module"), values.pop("dataset")),
            {"max_sequence_length": 8192},
        ),
    ],
)
def test_configs_of_the_family(unpacked, change, expected_change):
    values = json.loads((unpacked / "config.json").read_text())
    change(values)
    config = read_olmo_core_config(values, "config.json")
    assert config == dataclasses.replace(CONFIG, **expected_change)


def setting(path, value):
    def change(values):
        *parents, key = path.split(".")
        for parent in parents:
            values = values[parent]
        values[key] = value

    return change


MIXER = "model.block.sequence_mixer"
OVERRIDE = "model.block_overrides.3"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model", None, "model: missing"),
        ("model.name", "moe", "model.name: 'moe' found"),
        ("model.d_model", None, "model.d_model: None found"),
        ("model.tie_word_embeddings", True, "model.tie_word_embeddings: True found"),
        ("model.embed_scale", 4.0, "model.embed_scale: 4.0 found"),
        ("model.block.name", "default", "model.block.name: 'default' found"),
        ("model.block.dropout", 0.1, "model.block.dropout: 0.1 found"),
        ("model.block.feed_forward.activation", "gelu", "feed_forward.activation: 'gelu'"),
        ("model.block.layer_norm.name", "default", "model.block.layer_norm.name: 'default'"),
        (f"{MIXER}.bias", True, f"{MIXER}.bias: True found"),
        (f"{MIXER}.gate", {"a": 1}, f"{MIXER}.gate: {{'a': 1}} found"),
        (f"{MIXER}.attention_sinks", True, f"{MIXER}.attention_sinks: True found"),
        (f"{MIXER}.not_yet_known", 3, f"{MIXER}.not_yet_known: 3 found"),
        (f"{MIXER}.qk_norm", None, f"{MIXER}.qk_norm: missing"),
        (f"{MIXER}.qk_norm.eps", 1e-5, f"{MIXER}.qk_norm.eps: 1e-05 found"),
        (f"{MIXER}.use_head_qk_norm", True, f"{MIXER}.use_head_qk_norm: True found"),
        (f"{MIXER}.rope.name", "complex", f"{MIXER}.rope.name: 'complex' found"),
        (f"{MIXER}.rope.no_global_rope", True, f"{MIXER}.rope.no_global_rope: True found"),
        (f"{MIXER}.rope.theta", 10_000, "block_overrides.3: rope_theta: 500000.0 found"),
        (f"{MIXER}.rope.scaling", {"factor": 2}, f"{MIXER}.rope.scaling: {{'factor': 2}} found"),
        (
            f"{MIXER}.sliding_window.pattern",
            [8, 4, 8, -1],
            "sliding_window: pattern: [8, 4, 8, None] found",
        ),
        (
            f"{MIXER}.sliding_window.force_full_attention_on_first_layer",
            True,
            "sliding_window: pattern: [None, 8, 8, None] found",
        ),
        (
            f"{OVERRIDE}.sequence_mixer.rope.scaling._CLASS_",
            "olmo_core.nn.rope.PIRoPEScalingConfig",
            "rope.scaling._CLASS_: 'PIRoPEScalingConfig' found",
        ),
        (f"{OVERRIDE}.feed_forward.hidden_size", 64, "block_overrides.3: ffn_hidden_size: 64"),
    ],
)
def test_another_architecture_is_refused_by_key(unpacked, path, value, message):
    values = json.loads((unpacked / "config.json").read_text())
    setting(path, value)(values)
    with pytest.raises(UserError) as caught:
        read_olmo_core_config(values, "DIR/config.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("DIR/config.json: ")
    assert "\n" not in str(caught.value)


# Folders that are not what they should be


def refusal(folder):
    def read_all():
        imported = import_olmo_core(folder)
        return dict(imported.tensors), dict(imported.optimizer or ())

    with pytest.raises(UserError) as caught:
        read_all()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_index(path, change):
    index = read_index(path.parent)
    change(index)
    path.write_bytes(pickle.dumps(index))


def drop(index, condition):
    for key in [key for key in index.state_dict_metadata if condition(key)]:
        del index.state_dict_metadata[key]


def test_a_folder_that_is_no_checkpoint(tmp_path, folder):
    assert refusal(tmp_path) == (
        f"{tmp_path / 'config.json'}: missing, so {tmp_path} is not a checkpoint of OLMo-core"
    )
    (folder / "config.json").write_text("{")
    assert "config.json: not JSON" in refusal(folder)
    (folder / "config.json").write_text("{}")
    assert "config.json: model: missing" in refusal(folder)


def test_parts_that_are_missing_or_damaged(folder):
    state = folder / "model_and_optim"
    part = state / "__0_2.distcp"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    assert f"{state}: " in (message := refusal(folder))
    assert "damaged" in message
    damaged = bytearray(whole)
    index = read_index(state)
    place = next(
        info.offset + info.length // 2
        for entry, info in index.storage_data.items()
        if info.relative_path == part.name and entry.fqn.endswith("w_q.weight.exp_avg")
    )
    damaged[place] ^= 1
    part.write_bytes(damaged)
    assert "w_q.weight.exp_avg: damaged: the CRC-32" in refusal(folder)
    part.unlink()
    assert f"{part}: missing" in refusal(folder)
    part.write_bytes(whole)
    (folder / "train" / "rank0.pt").write_bytes(b"cut")
    assert "rank0.pt: damaged" in refusal(folder)
    shutil.rmtree(folder / "train")
    (state / ".metadata").unlink()
    assert f"{state / '.metadata'}: missing" in refusal(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("model.blocks.2.feed_forward.w3.weight", "no tensor 'blocks.2.feed_forward.w3.weight'"),
        (
            "optim.state.blocks.1.attention.w_q.weight.exp_avg_sq",
            "optimizer's exp_avg_sq: no tensor 'blocks.1.attention.w_q.weight'",
        ),
        ("optim.state.lm_head.norm.weight.step", "step: none for 'lm_head.norm.weight'"),
    ],
)
def test_tensors_that_are_missing(folder, missing, message):
    path = folder / "model_and_optim" / ".metadata"
    change_index(path, lambda index: drop(index, lambda key: key == missing))
    assert message in refusal(folder)


def test_tensors_of_another_model_or_optimizer(folder):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    values["model"]["vocab_size"] = 256
    path.write_text(json.dumps(values))
    assert "'embeddings.weight' has shape [128, 16], expected [256, 16]" in refusal(folder)
    values["model"]["vocab_size"] = 128
    path.write_text(json.dumps(values))

    def rename(index):
        key = "optim.state.embeddings.weight."
        entries = index.state_dict_metadata
        entries[f"{key}momentum"] = entries.pop(f"{key}exp_avg")

    change_index(folder / "model_and_optim" / ".metadata", rename)
    assert "'embeddings.weight.momentum' found, but only AdamW's is known" in refusal(folder)
