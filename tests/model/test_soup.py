"""Soups: exact, in a fixed order, and never two models in memory."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.model.checkpoint import Checkpoint, average, check_alike, write_checkpoint
from olmoflow.model.config import Olmo3Config

CONFIG = Olmo3Config(
    vocab_size=64, d_model=16, n_layers=4, n_heads=2, n_kv_heads=2, ffn_hidden_size=32
)
COUNT, SIZE = 12, 1000


def random_tensors(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return {f"t{i}": torch.randn(SIZE, generator=generator).to(dtype) for i in range(COUNT)}


@pytest.fixture
def checkpoints(tmp_path):
    """Three checkpoints, the second's tensors in another order, and their tensors."""
    tensors = [random_tensors(seed) for seed in range(3)]
    orders = [list(tensors[0]), list(reversed(tensors[1])), list(tensors[2])]
    written = [
        write_checkpoint(tmp_path / str(i), CONFIG, ((n, t[n]) for n in order), step=i)
        for i, (t, order) in enumerate(zip(tensors, orders, strict=True))
    ]
    return written, tensors


def test_it_is_the_mean(checkpoints):
    written, tensors = checkpoints
    soup = dict(average(written, [1, 1, 1], "abc"))
    assert soup.keys() == tensors[0].keys()
    for name, found in soup.items():
        expected = torch.stack([t[name] for t in tensors]).double().mean(0).float()
        assert torch.equal(found, expected)


def test_weights_are_shares(checkpoints):
    written, tensors = checkpoints
    soup = dict(average(written, [3, 1, 0], "abc"))
    for name, found in soup.items():
        expected = (0.75 * tensors[0][name].double() + 0.25 * tensors[1][name].double()).float()
        assert torch.equal(found, expected)


def test_it_is_rounded_to_the_widest_of_the_dtypes(tmp_path, checkpoints):
    (written, *_), _ = checkpoints
    half = write_checkpoint(tmp_path / "half", CONFIG, random_tensors(5, torch.bfloat16).items())
    assert {t.dtype for t in dict(average([half, half], [1, 1], "ab")).values()} == {torch.bfloat16}
    assert {t.dtype for t in dict(average([half, written], [1, 1], "ab")).values()} == {
        torch.float32
    }


def test_a_few_tensors_are_in_memory_and_no_model(checkpoints, tmp_path, monkeypatch):
    written, _ = checkpoints
    live, most = set(), 0

    def seen(tensor):
        nonlocal most
        key = id(tensor)
        live.add(key)
        weakref.finalize(tensor, live.discard, key)
        gc.collect()
        most = max(most, len(live))
        return tensor

    read = Checkpoint.read_tensor
    monkeypatch.setattr(Checkpoint, "read_tensor", lambda self, name: seen(read(self, name)))
    soup = ((name, seen(tensor)) for name, tensor in average(written, [1, 1, 1], "abc"))
    write_checkpoint(tmp_path / "soup", CONFIG, soup, max_file_bytes=2 * SIZE * 4)
    # Two of the file being filled, the mean that comes next, and one that was read for it.
    assert most <= 4 < COUNT


def test_what_differs_is_named(checkpoints, tmp_path):
    (first, *_), (tensors, *_) = checkpoints
    wider = write_checkpoint(tmp_path / "wider", replace(CONFIG, n_kv_heads=1), tensors.items())
    with pytest.raises(UserError, match=r"^b: model.n_kv_heads=1; expected 2, as a has$"):
        check_alike([first, wider], ["a", "b"])
    shorter = write_checkpoint(
        tmp_path / "shorter", CONFIG, ((n, t) for n, t in tensors.items() if n != "t3")
    )
    with pytest.raises(UserError, match=r"^b: tensor 't3' is absent; expected \[1000\], as a has$"):
        check_alike([first, shorter], ["a", "b"])
