"""`olmoflow merge` from end to end: what comes out is a checkpoint like any other."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from olmoflow.model.checkpoint import list_steps, write_checkpoint


@pytest.fixture
def series(tiny):
    """A series ``a`` with steps 2 and 4 and a run ``b`` of another seed."""
    if not (tiny.home / "checkpoint" / "b").is_dir():
        train = ["train", "shards=s", *tiny.settings]
        tiny(*train, "name=a", "save.every_steps=2")
        tiny(*train, "name=b", "init_seed=1")
    return tiny


def tensors(tiny, name, step):
    (found,) = [c for c in list_steps(tiny.home / "checkpoint" / name) if c.step == step]
    return dict(found.iter_tensors())


def test_a_soup_is_a_checkpoint_that_exports_evaluates_and_trains(series):
    made = series("merge", "checkpoints=[a,b]", "weights=[3,1]", "name=soup")
    assert made["merged"] == ["a@4", "b@4"]
    assert made["shares"] == [0.75, 0.25]
    assert made["step"] == 4
    soup, a, b = (tensors(series, name, 4) for name in ("soup", "a", "b"))
    for name, found in soup.items():
        assert torch.equal(found, ((3 * a[name].double() + b[name].double()) / 4).float())
    target = series.folder / "exported"
    series("export", "checkpoint=soup", f"target={target}", "dtype=float32")
    exported = load_file(target / "model.safetensors")
    assert torch.equal(exported["model.norm.weight"], soup["norm.weight"])
    assert (target / "tokenizer.json").is_file()
    error = series(
        *["train", "shards=s", *series.settings, "checkpoint=soup", "carry_optimizer=true"],
        status=2,
    )
    assert "carry_optimizer" in error
    assert "no optimizer state" in error
    after = series("train", "shards=s", *series.settings, "checkpoint=soup", "name=after")
    assert after["steps"] == 4
    shown = json.dumps(series("show", "after", "--lineage"))
    assert all(name in shown for name in ("soup", '"a"', '"b"', '"s"'))


def test_steps_of_one_series_merge(series):
    series("merge", "checkpoints=[a@2,a@4]", "name=tail")
    tail, early, late = (tensors(series, *each) for each in (("tail", 4), ("a", 2), ("a", 4)))
    for name, found in tail.items():
        assert torch.equal(found, ((early[name].double() + late[name].double()) / 2).float())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoints=[a]"], "checkpoints=[a]: holds a whole model; expected two or more"),
        (["checkpoints=[]"], "checkpoints=[]: expected a list of two or more"),
        (["checkpoints=[a,b]", "weights=[1]"], "weights=[1]: expected 2 numbers of at least 0"),
        (["checkpoints=[a,b]", "weights=[0,0]"], "not all of them 0"),
        (["checkpoints=[a,wide]"], "wide@4: model.ffn_hidden_size=48; expected 32, as "),
        (["checkpoints=[a,a@3]"], "checkpoints[1]=a@3: no such step; there are 2, 4"),
    ],
)
def test_mistakes(series, arguments, message):
    if "wide" in arguments[0] and not (series.home / "checkpoint" / "wide").is_dir():
        series("train", "shards=s", *series.settings, "name=wide", "model.ffn_hidden_size=48")
    error = series("merge", *arguments, status=2)
    assert len(error.splitlines()) == 1
    assert message in error


def test_a_run_that_diverged_is_neither_merged_nor_exported(series):
    (found,) = list_steps(series.home / "checkpoint" / "b")
    weights = ((name, t * float("nan") if name == "norm.weight" else t) for name, t in
               found.iter_tensors())  # fmt: skip
    lost = series.home / "checkpoint" / "lost"
    shutil.copytree(series.home / "checkpoint" / "b", lost)
    shutil.rmtree(lost / "steps")
    write_checkpoint(lost, found.config, weights, step=4)
    told = series("merge", "checkpoints=[a,lost]", status=2)
    assert "checkpoints[1]=lost@4: tensor 'norm.weight' holds NaN or infinity; expected" in told
    told = series("export", "checkpoint=lost", f"target={series.folder / 'diverged'}", status=2)
    assert "checkpoint=lost: tensor 'norm.weight' holds NaN or infinity; expected" in told
    assert not (series.folder / "diverged").exists()


def test_another_vocabulary_is_refused(series):
    tokenizer = series.home / "checkpoint" / "b" / "tokenizer" / "tokenizer.json"
    written = tokenizer.read_text()
    data = json.loads(written)
    vocabulary = data["model"]["vocab"]
    first, second, *_ = vocabulary
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    tokenizer.write_text(json.dumps(data))
    try:
        error = series("merge", "checkpoints=[a,b]", "weights=[1,7]", status=2)
    finally:
        tokenizer.write_text(written)
    assert "b@4: its tokenizer is another than that of checkpoints[0]=a@4" in error
