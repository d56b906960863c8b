"""What `olmoflow train` says of mistakes, what it leaves in the run folder, W&B."""

import csv
import json
import math
import shutil

import pytest
import yaml

from olmoflow.commands.main import main


@pytest.fixture(scope="module")
def home(tiny_home):
    """A working folder whose artifacts have shards ``s`` of 320 tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLMOFLOW_HOME", str(tiny_home / "artifacts"))
        patch.chdir(tiny_home)
        yield tiny_home


@pytest.fixture(scope="module")
def train(home, tiny_settings):
    """Trains on these shards, or those that are given, and returns the exit status."""
    longer = ["max_tokens=2048", "warmup=2", "log_every=2"]
    return lambda *given: main(["train", "shards=s", *tiny_settings, *longer, *given])


@pytest.fixture(scope="module")
def trained(home, train):
    assert train("name=first", "logger=wandb") == 0
    return home / "artifacts" / "checkpoint" / "first"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["shards=nothing"],
            "shards=nothing: no shards has this name and no such path; there are: s",
        ),
        (
            ["data=dolma3_mix", "shards=null"],
            "data.sources[0].shards=dolma3_mix: these shards are not here yet; ",
        ),
        (["shards=."], "shards=.: no token shards in "),
        (["runtime.accelerator=gpu"], "runtime.accelerator=gpu: this machine has"),
        (["model.vocab_size=300"], "model.vocab_size=300: the shards' tokenizer has 320 tokens"),
        (["model.n_heads=3"], "model.n_heads: 3 found, a divisor of d_model=16 expected"),
        (["sequence_length=1024", "global_batch_tokens=4096"], "sequence_length=1024: expected at"),
        (["global_batch_tokens=100"], "global_batch_tokens=100: expected a multiple of"),
        (["runtime.micro_batch_sequences=3"], "cannot be cut into 1 ranks"),
        (["parallel=ddp", "parallel.ranks=3"], "global_batch_tokens=256: cannot be cut into 3"),
        (["parallel=fsdp"], "parallel.ranks: missing; give the number of processes"),
        (
            ["parallel=hsdp", "parallel.ranks=6"],
            "parallel.ranks=6: expected a multiple of shard = 8",
        ),
        (
            ["runtime.activation_checkpointing.mode=budget"],
            "runtime.activation_checkpointing.budget=None: expected a number from 0 to 1",
        ),
        (["dtype=float8"], "dtype=float8: expected one of float32, bfloat16"),
        (["attention=sdp"], "attention"),
        (["optimizer.lr=fast"], "optimizer.lr"),
        (["data.sources.0.max_repetition=0.01"], "would be repeated"),
    ],
)
def test_mistakes_are_one_line(train, home, overrides, message, capsys):
    assert train(*overrides) == 2
    captured = capsys.readouterr()
    assert len(captured.err.strip().splitlines()) == 1, captured.err
    assert message in captured.err
    assert captured.out == ""


def test_a_damaged_shard_is_named(train, home, capsys):
    copy = home / "damaged"
    shutil.copytree(home / "artifacts" / "shards" / "s", copy, dirs_exist_ok=True)
    chunk = next((copy / "train").glob("*.bin"))
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    assert train(f"shards={copy}") == 2
    assert f"{chunk.name}: damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.ffn_hidden_size=48", "model.ffn_hidden_size=48: checkpoint=first has 32; expected"),
        ("model.n_kv_heads=2", "model.n_kv_heads=2: checkpoint=first has 1; expected"),
        ("model.rope_theta=1e4", "model.rope_theta=10000.0: checkpoint=first has 500000.0; exp"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_before_any_rank(
    train, trained, override, message, capsys, monkeypatch
):
    monkeypatch.setattr("olmoflow.commands.train.command._run_ranks", pytest.fail)
    assert train("checkpoint=first", override, "name=other") == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert message in error


def test_carrying_needs_something_to_carry(train, trained, capsys):
    assert train("carry_optimizer=true") == 2
    assert "carry_optimizer=true: nothing to carry; give checkpoint=" in capsys.readouterr().err
    assert train("carry_trainer=true", "checkpoint=first") == 2
    assert "carry_trainer=true: expected checkpoint=NAME@STEP" in capsys.readouterr().err


def test_a_run_goes_on_under_another_schedule(train, trained, home, capsys):
    assert train(
        "name=part2", "checkpoint=first@8", "carry_optimizer=true", "carry_trainer=true",
        "schedule=half_cosine", "schedule.start=8", "max_tokens=3072", "optimizer.lr=5e-3",
    ) == 0  # fmt: skip
    with (home / "artifacts" / "checkpoint" / "part2" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["10", "12"]
    assert rows[-1]["throughput/total tokens"] == "3072"
    # The second half of a cosine from step 8 to 12, at its fourth step.
    with (trained / "metrics.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4
    factor = 0.1 + 0.9 * (1 + math.cos(math.pi * (1 + 3 / 4) / 2)) / 2
    assert float(rows[-1]["optim/LR (group 0)"]) == pytest.approx(5e-3 * factor)


def test_another_run_of_the_same_name_shows_what_differs(train, trained, capsys):
    assert train("name=first", "logger=wandb", "optimizer.lr=1e-4") == 2
    error = capsys.readouterr().err
    assert "first" in error
    assert "optimizer.lr" in error


def test_the_run_folder_tells_what_ran(trained):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["d_model"] == 16
    provenance = json.loads((trained / "provenance.json").read_text())
    assert provenance["inputs"][0]["name"] == "s"
    assert provenance["versions"]["torch"]
    assert "torch" in (trained / "packages.txt").read_text()
    assert "model.d_model=16" in json.loads((trained / "job.json").read_text())["overrides"]


def test_metrics_have_the_names_of_olmo_core(trained):
    with (trained / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    for name in (
        "train/CE loss",
        "train/PPL",
        "train/Z loss",
        "train/Z loss unscaled",
        "train/masked labels (%)",
        "train/global batch size",
        "optim/total grad norm",
        "optim/LR (group 0)",
        "optim/step skipped",
        "throughput/total tokens",
        "throughput/device/TPS",
        "throughput/device/TPS (actual avg)",
        "throughput/device/BPS",
        "throughput/device/MFU",
        "throughput/device/data loading (%)",
        "throughput/chinchilla multiple",
        "throughput/total petaflops",
    ):
        assert float(rows[-1][name]) >= 0, name
    assert float(rows[-1]["throughput/total tokens"]) == 2048


def test_wandb_without_a_key_leaves_a_real_offline_run_that_resume_continues(
    train, trained, home, capsys
):
    run_id = (trained / "wandb_id.txt").read_text().strip()
    (folder,) = (trained / "wandb").glob("offline-run-*")
    assert folder.name.endswith(run_id)
    assert next(folder.glob("run-*.wandb")).stat().st_size > 0
    # The same command in a run folder that is not finished goes on under the same id.
    copy = home / "artifacts" / "checkpoint" / "first"
    (copy / "provenance.json").rename(copy / "provenance.away")
    try:
        final = json.loads((copy / "provenance.away").read_text())["figures"]["train/CE loss"]
        capsys.readouterr()
        assert train("name=first", "logger=wandb", "output=json") == 0
        # Killed after the last checkpoint: nothing was left to train, and nothing is lost.
        assert json.loads(capsys.readouterr().out)["final"]["train/CE loss"] == final
        assert (trained / "wandb_id.txt").read_text().strip() == run_id
        assert all(f.name.endswith(run_id) for f in (trained / "wandb").glob("offline-run-*"))
    finally:
        (copy / "provenance.away").unlink()


def test_a_new_stage_starts_from_a_step_and_its_lineage_says_so(train, trained, home, capsys):
    assert train("name=second", "checkpoint=first@8", "carry_optimizer=true", "warmup=0") == 0
    capsys.readouterr()
    assert main(["show", "second", "--lineage", "output=json"]) == 0
    shown = capsys.readouterr().out
    assert "first" in shown
    assert '"s"' in shown


def test_shards_behind_a_url_train_and_bring_their_tokenizer(train, home, monkeypatch, capsys):
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    monkeypatch.setenv("OLMOFLOW_CACHE", str(home / "cache"))
    folder = home / "artifacts" / "shards" / "s"
    handler = functools.partial(SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/train"
        assert train(f"shards={url}", "name=remote", "output=json") == 0
        assert train("name=local", "output=json") == 0
    finally:
        server.shutdown()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    remote, local = (json.loads(line) for line in lines)
    assert remote["final"]["train/CE loss"] == local["final"]["train/CE loss"]
    assert (home / "artifacts" / "checkpoint" / "remote" / "tokenizer" / "tokenizer.json").is_file()
