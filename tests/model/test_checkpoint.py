"""Checkpoints: whole or absent, exact, safe to read, and no larger in memory than need be."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from olmoflow.errors import UserError
from olmoflow.model.checkpoint import Checkpoint, CheckpointWriter, list_steps, write_checkpoint
from olmoflow.model.checkpoint.digests import Digests, FileDigest
from olmoflow.model.config import Olmo3Config

CONFIG = Olmo3Config(
    vocab_size=64, d_model=16, n_layers=4, n_heads=2, n_kv_heads=2, ffn_hidden_size=32
)


class HistoryAdamW(torch.optim.AdamW):
    """AdamW with a tensor of its own in every parameter group, as skip-step rules keep one."""

    def __init__(self, params):
        super().__init__(params, lr=1e-2, fused=True)
        for group in self.param_groups:
            group["history"] = torch.zeros(4)

    def step(self, closure=None):
        if any(p.grad is not None and p.grad.any() for g in self.param_groups for p in g["params"]):
            for number, group in enumerate(self.param_groups):
                group["history"] = torch.roll(group["history"], 1) + 1 + number
        return super().step(closure)


def make_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(64, 16), nn.Linear(16, 32), nn.Linear(32, 64))


def make_optimizer(model):
    embedding, *rest = model.parameters()
    return HistoryAdamW([{"params": [embedding], "weight_decay": 0.0}, {"params": rest}])


def train(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        torch.manual_seed(100 + step)
        ids = torch.randint(64, (4, 8))
        loss = nn.functional.cross_entropy(model(ids).flatten(0, 1), ids.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture(scope="module")
def trained_once():
    model = make_model()
    optimizer = make_optimizer(model)
    train(model, optimizer, 3)
    return model, optimizer


@pytest.fixture
def trained(trained_once):
    """A model and its optimizer after three steps."""
    return copy.deepcopy(trained_once)


def save(series, trained, step=3, trainer=None, asynchronous=False):
    writer = CheckpointWriter(series, asynchronous=asynchronous)
    writer.save(step, *trained, CONFIG, trainer)
    writer.wait()
    return list_steps(series)[-1]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_run_goes_on_exactly_as_if_it_had_not_stopped(tmp_path, trained, asynchronous):
    checkpoint = save(tmp_path, trained, trainer={"loops": {"n": 3}}, asynchronous=asynchronous)
    model = make_model(seed=1)
    optimizer = make_optimizer(model)
    checkpoint.load_model(model)
    checkpoint.load_optimizer(model, optimizer)
    assert checkpoint.step == 3
    assert checkpoint.config == CONFIG
    assert checkpoint.trainer_state() == {"loops": {"n": 3}}
    for a, b in zip(trained[1].param_groups, optimizer.param_groups, strict=True):
        assert torch.equal(a["history"], b["history"])
        assert a["weight_decay"] == b["weight_decay"]
    train(*trained, 2, first=3)
    train(model, optimizer, 2, first=3)
    for a, b in zip(trained[0].parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_run_that_goes_on_with_other_settings_has_them(tmp_path, trained):
    checkpoint = save(tmp_path, trained)
    model = make_model()
    optimizer = make_optimizer(model)
    for group in optimizer.param_groups:
        group.update(lr=0.5, betas=(0.5, 0.6))
    checkpoint.load_optimizer(model, optimizer)
    for ours, theirs in zip(optimizer.param_groups, trained[1].param_groups, strict=True):
        assert torch.equal(ours["history"], theirs["history"])
        assert (ours["lr"], ours["betas"]) == (0.5, (0.5, 0.6))


def test_what_is_saved_in_the_background_is_the_state_at_the_call(tmp_path, trained):
    """Also when the writer's memory is filled anew, and when the next state has other keys."""
    model, optimizer = trained
    writer, expected = CheckpointWriter(tmp_path, asynchronous=True), []
    for step, saved in ((3, optimizer), (4, optimizer), (5, None)):
        expected.append({name: p.clone() for name, p in model.named_parameters()})
        writer.save(step, model, saved, CONFIG, None)
        train(model, optimizer, 1, first=step)
    writer.wait()
    for checkpoint, state in zip(list_steps(tmp_path), expected, strict=True):
        checkpoint.verify()
        for name, tensor in checkpoint.iter_tensors():
            assert torch.equal(tensor, state[name])


def test_saving_before_the_first_step_changes_nothing(tmp_path):
    plain, saved, resumed = make_model(), make_model(), make_model(seed=1)
    optimizers = [make_optimizer(model) for model in (plain, saved, resumed)]
    checkpoint = save(tmp_path, (saved, optimizers[1]), step=0)
    checkpoint.load_model(resumed)
    checkpoint.load_optimizer(resumed, optimizers[2])
    for model, optimizer in zip((plain, saved, resumed), optimizers, strict=True):
        train(model, optimizer, 2)
    for a, b, c in zip(*(m.parameters() for m in (plain, saved, resumed)), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_moments_can_be_taken_over_without_the_settings(tmp_path, trained):
    checkpoint = save(tmp_path, trained)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, weight_decay=0.25)
    checkpoint.load_optimizer(model, optimizer, groups=False)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    theirs = trained[1].state[trained[0][0].weight]
    ours = optimizer.state[model[0].weight]
    assert ours["step"] == 3
    assert torch.equal(ours["exp_avg_sq"], theirs["exp_avg_sq"])


def test_steps_come_in_order_and_are_announced_when_complete(tmp_path, trained):
    writer, seen = CheckpointWriter(tmp_path, asynchronous=True), []
    writer.on_complete = lambda checkpoint: seen.append((checkpoint.step, checkpoint.path.exists()))
    for step in (20, 100, 3):
        writer.save(step, *trained, CONFIG, None)
    writer.wait()
    assert seen == [(20, True), (100, True), (3, True)]
    assert [checkpoint.step for checkpoint in list_steps(tmp_path)] == [3, 20, 100]
    assert list_steps(tmp_path / "nothing") == []


def test_what_fails_in_the_background_is_raised(tmp_path, trained):
    writer = CheckpointWriter(tmp_path, asynchronous=True)

    def fail(checkpoint):
        raise OSError("no space left")

    writer.on_complete = fail
    writer.save(3, *trained, CONFIG, None)
    with pytest.raises(OSError, match="no space left"):
        writer.wait()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_disk_error_is_raised_as_it_is(tmp_path, trained, monkeypatch, asynchronous):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, trained, asynchronous=asynchronous)
    assert list_steps(tmp_path) == []


def test_trainer_state_that_could_not_be_read_back_is_refused(tmp_path, trained):
    with pytest.raises(TypeError, match="read back"):
        save(tmp_path, trained, trainer={"callback": CheckpointWriter})
    assert list_steps(tmp_path) == []


# Damage


@pytest.fixture
def complete(tmp_path, trained):
    return save(tmp_path, trained, trainer={"n": torch.arange(1000)})


FILES = ["__0_0.distcp", ".metadata", "model.json", "trainer.pt", "digests.json"]


def use_everything(path):
    checkpoint = Checkpoint.open(path)
    model = make_model()
    checkpoint.load_model(model)
    checkpoint.load_optimizer(model, make_optimizer(model))
    checkpoint.trainer_state()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_damage_is_found_and_named_before_use(complete, name, damage):
    path = complete.path / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 16
        path.write_bytes(data)
    for use in (use_everything, lambda path: Checkpoint.open(path).verify()):
        with pytest.raises(UserError, match=name):
            use(complete.path)
    with pytest.raises(UserError, match=name):
        complete.verify()


def test_a_damaged_step_is_replaced_and_an_intact_one_kept(tmp_path, complete, trained):
    kept = complete.path.stat().st_mtime_ns
    save(tmp_path, trained)
    assert complete.path.stat().st_mtime_ns == kept
    (complete.path / "model.json").write_text("{}")
    save(tmp_path, trained).verify()
    assert (complete.path.with_suffix(".damaged") / "model.json").read_text() == "{}"


def step_folders(series):
    return sorted(path.name for path in (series / "steps").iterdir())


KILLED = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_checkpoint as t
from olmoflow.model.checkpoint import write

MOMENTS = {"tensors": (write.StepWriter, "write_data"), "index": (write.StepWriter, "finish")}

def save(moment):
    series = Path(sys.argv[1]) / moment
    model = t.make_model(); optimizer = t.make_optimizer(model); t.train(model, optimizer, 3)
    writer = t.CheckpointWriter(series, asynchronous=True)
    writer.save(3, model, optimizer, t.CONFIG, None)
    writer.wait()

    def hang(*args, **kwargs):
        print(moment, os.getpid(), flush=True)
        time.sleep(600)

    setattr(*MOMENTS.get(moment, (write, "finish")), hang)
    writer.save(4, model, optimizer, t.CONFIG, None)
    writer.wait()

# Forked before torch starts threads: torch is imported once.
for moment in ("tensors", "index", "digests"):
    if os.fork() == 0:
        save(moment)
        os._exit(1)
for _ in range(3):
    os.wait()
"""


def test_a_kill_during_a_save_leaves_the_step_before_and_no_half_one(tmp_path, trained):
    """Three processes are killed, each at another moment of its second save."""
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    moments = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            moment, pid = process.stdout.readline().split()
            os.kill(int(pid), signal.SIGKILL)
            moments.add(moment)
    assert moments == {"tensors", "index", "digests"}
    for moment in moments:
        series = tmp_path / moment
        assert step_folders(series) == ["step-00000003", "step-00000004.partial"], moment
        (checkpoint,) = list_steps(series)
        checkpoint.verify()
        use_everything(checkpoint.path)
        save(series, trained, step=5)
        assert step_folders(series) == ["step-00000003", "step-00000005"]


# Reading is safe


class Malice:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def refresh_digests(path, step=3):
    files = {p.name: FileDigest.of(p) for p in path.iterdir() if p.name != "digests.json"}
    Digests(step, files).write(path)


def test_an_index_that_would_run_code_is_refused(tmp_path, complete):
    target = tmp_path / "touched"
    (complete.path / ".metadata").write_bytes(pickle.dumps(Malice(target)))
    refresh_digests(complete.path)
    with pytest.raises(UserError, match=r"\.metadata: refused: it names .*which is not plain data"):
        Checkpoint.open(complete.path).tensor_names()
    assert not target.exists()


def test_an_entry_that_would_run_code_is_refused(tmp_path):
    target = tmp_path / "touched"
    path = tmp_path / "steps" / "step-00000003"
    model = make_model()
    state = {
        "model": model.state_dict(),
        "optimizer": {
            f"state.{name}.momentum_buffer": Malice(target) for name in model.state_dict()
        },
    }
    dcp.save(state, checkpoint_id=path)
    (path / "model.json").write_text(json.dumps(asdict(CONFIG)))
    refresh_digests(path)
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9)
    with pytest.raises(UserError, match=r"momentum_buffer': refused: it is not plain data"):
        Checkpoint.open(path).load_optimizer(model, optimizer)
    assert not target.exists()


def test_an_index_that_points_outside_is_refused(complete):
    index = pickle.loads((complete.path / ".metadata").read_bytes())
    for part in index.storage_data.values():
        part.relative_path = "../elsewhere.distcp"
    (complete.path / ".metadata").write_bytes(pickle.dumps(index))
    refresh_digests(complete.path)
    with pytest.raises(UserError, match="points outside"):
        Checkpoint.open(complete.path).tensor_names()


def test_the_index_tells_nothing_of_the_machine(tmp_path, complete):
    assert str(tmp_path).encode() not in (complete.path / ".metadata").read_bytes()


# What does not fit is named


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Embedding(64, 16), nn.Linear(16, 32)), "'2.bias' is none of"),
        (nn.Sequential(*make_model(), nn.Linear(2, 2)), "no tensor '3."),
        (
            nn.Sequential(nn.Embedding(65, 16), nn.Linear(16, 32), nn.Linear(32, 64)),
            r"'0.weight' has shape \[64, 16\], the model expects \[65, 16\]",
        ),
    ],
)
def test_a_checkpoint_of_another_model(complete, model, message):
    with pytest.raises(UserError, match=message):
        complete.load_model(model)


def test_a_checkpoint_of_another_optimizer(tmp_path, complete, trained):
    model = trained[0]
    with pytest.raises(UserError, match=r"no 'state\..*momentum_buffer', which this optimizer"):
        complete.load_optimizer(model, torch.optim.SGD(model.parameters(), momentum=0.9))
    weights_only = save(tmp_path / "weights", (model, None))
    assert not weights_only.has_optimizer
    with pytest.raises(UserError, match="holds no optimizer state"):
        weights_only.load_optimizer(*trained)


@pytest.mark.parametrize("folder", ["steps", "steps/step-00000007"])
def test_a_folder_that_is_no_checkpoint(tmp_path, complete, folder):
    with pytest.raises(UserError, match=r"no digests\.json in it"):
        Checkpoint.open(tmp_path / folder)


# Streams of tensors


def test_a_stream_of_tensors_becomes_a_checkpoint(tmp_path, trained):
    model, optimizer = trained
    written = write_checkpoint(
        tmp_path / "copy",
        CONFIG,
        ((name, p.detach()) for name, p in model.named_parameters()),
        (
            (f"state.{name}.{key}", value)
            for name, p in model.named_parameters()
            for key, value in optimizer.state[p].items()
        ),
        step=3,
        max_file_bytes=4096,
    )
    assert len(list(written.path.glob("*.distcp"))) > 3
    written.verify()
    other = make_model(seed=1)
    written.load_model(other)
    other_optimizer = make_optimizer(other)
    written.load_optimizer(other, other_optimizer)
    for group, theirs in zip(other_optimizer.param_groups, optimizer.param_groups, strict=True):
        group["history"] = theirs["history"].clone()
    train(*trained, 1)
    train(other, other_optimizer, 1)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_torch_itself_reads_what_is_written(tmp_path, complete, trained):
    streamed = write_checkpoint(tmp_path / "copy", CONFIG, trained[0].state_dict().items())
    for checkpoint in (complete, streamed):
        dcp_to_torch_save(checkpoint.path, tmp_path / "model.pt")
        weights = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
        assert all(torch.equal(weights[name], t) for name, t in checkpoint.iter_tensors())


def test_a_stream_with_a_name_twice(tmp_path):
    twice = [("a", torch.ones(2)), ("b", torch.ones(2)), ("a", torch.ones(2))]
    for size in (8, 1000):
        with pytest.raises(UserError, match=r"a' comes twice"):
            write_checkpoint(tmp_path, CONFIG, twice, max_file_bytes=size)
    assert list_steps(tmp_path) == []


MEMORY = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[2])
import test_checkpoint as t
# ru_maxrss would begin with what the process that started this one held.
status = lambda: Path("/proc/self/status").read_text()
peak = lambda: int(status().partition("VmHWM:")[2].split()[0]) // 1024
tensors = ((f"t{i}", torch.full((2**22,), float(i))) for i in range(16))
small = ((f"t{i}", torch.zeros(8)) for i in range(2))
list(t.write_checkpoint(Path(sys.argv[1]) / "small", t.CONFIG, small).iter_tensors())
before = peak()
checkpoint = t.write_checkpoint(Path(sys.argv[1]), t.CONFIG, tensors, max_file_bytes=2**25)
for number, (name, tensor) in enumerate(checkpoint.iter_tensors()):
    assert tensor[0] == int(name[1:]) and len(tensor) == 2**22
print(peak() - before)
"""


def test_memory_is_bounded_by_a_few_tensors(tmp_path):
    """16 tensors of 16 MiB, two to a file, are written and read back."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path), str(Path(__file__).parent)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(output) < 150, "MiB"


@pytest.mark.distributed
def test_any_number_of_ranks_reads_what_any_number_wrote(tmp_path, trained):
    """One rank saves, two load, save and train a step, one loads that: as if by one alone."""
    save(tmp_path / "one", trained)
    script = Path(__file__).with_name("checkpoint_ranks.py")
    subprocess.run([sys.executable, script, "2", tmp_path], check=True, timeout=600)
    (unchanged,) = list_steps(tmp_path / "sync")
    copy, trained_on = list_steps(tmp_path / "async")
    for checkpoint in (unchanged, copy, trained_on):
        assert len(list(checkpoint.path.glob("*.distcp"))) == 2
        checkpoint.verify()
        model = make_model(seed=9)
        optimizer = make_optimizer(model)
        checkpoint.load_model(model)
        checkpoint.load_optimizer(model, optimizer)
        if checkpoint is trained_on:
            train(*trained, 1, first=3)
        for a, b in zip(trained[0].parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
            for key, value in trained[1].state[a].items():
                torch.testing.assert_close(value, optimizer.state[b][key], rtol=0, atol=1e-6)
        for a, b in zip(trained[1].param_groups, optimizer.param_groups, strict=True):
            assert torch.equal(a["history"], b["history"])
