"""Samples: every token of a source is a target exactly once per epoch, within its document if so
wished.
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.tokens.mixture import Mixture, Source
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import IGNORE, ReportedSteps, StepDataset, WindowReader, window_sizes

LENGTH = 50


def window_reader(room, *, micro=4, seed=3, length=LENGTH, **kwargs):
    shards = TokenShards.open(room.shards)
    source = Source(str(room.shards), shuffle_chunks=kwargs.pop("shuffle_chunks", None))
    sizes = [window_sizes(shards, source, length)]
    mixture = Mixture([source], sizes, seed=seed)
    return WindowReader([shards], mixture, length, micro, **kwargs), sizes[0].windows


def joined(batches, key):
    return torch.cat([batch[key] for batch in batches])


@pytest.mark.parametrize("shuffle_chunks", [None, 1, 2])
def test_an_epoch_has_every_token_but_the_first_as_a_target_once(room, shuffle_chunks):
    reader, windows = window_reader(room, shuffle_chunks=shuffle_chunks)
    _, order = reader.mixture.locate(0, windows)
    assert sorted(order.tolist()) == list(range(windows))
    batches = reader.micro_batches(0, windows)
    inputs, labels = joined(batches, "input_ids"), joined(batches, "labels")
    tokens = reader.shards[0].read(0, len(reader.shards[0]))
    in_order = np.argsort(order)
    targets = labels[in_order].reshape(-1)
    kept = targets != IGNORE
    np.testing.assert_array_equal(targets[kept].numpy(), tokens[1:])
    assert kept[: len(tokens) - 1].all()
    # What comes before each target is its input.
    given = inputs[in_order].reshape(-1)[: len(tokens) - 1]
    np.testing.assert_array_equal(given.numpy(), tokens[:-1])


def test_document_ids_tell_documents_apart(room):
    reader, _ = window_reader(room, document_mask=True)
    for batch in reader.micro_batches(0, 40):
        inputs, ids = batch["input_ids"], batch["document_ids"]
        assert ids.dtype == torch.int32
        ends = (inputs == room.opened.eos_id).cumsum(1)
        expected = torch.cat([torch.zeros(len(inputs), 1), ends[:, :-1]], 1)
        assert (ids == expected).all()


def test_micro_batches_only_cut(room):
    whole, _ = window_reader(room, micro=12)
    parts, _ = window_reader(room, micro=5)
    one, several = whole.micro_batches(7, 12), parts.micro_batches(7, 12)
    assert [len(b["input_ids"]) for b in several] == [5, 5, 2]
    for key in ("input_ids", "labels"):
        assert torch.equal(joined(one, key), joined(several, key))


def test_labels_that_are_ignored_leave_the_inputs_whole(room):
    reader, windows = window_reader(room, length=46)
    _, order = reader.mixture.locate(0, windows)
    last = int(np.flatnonzero(order == windows - 1)[0])
    (batch,) = reader.micro_batches(last, 1)
    assert (batch["labels"] == IGNORE).any()
    assert (batch["input_ids"] >= 0).all()


def test_workers_start_without_lightning():
    code = "import olmoflow.tokens.windows, sys; print('lightning' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert ReportedSteps.__module__ == StepDataset.__module__ == "olmoflow.tokens.windows"


def test_a_step_that_cannot_be_cut_says_what_would_do(room):
    reader, _ = window_reader(room, micro=4)
    StepDataset(reader, 24, 0, 2)
    with pytest.raises(
        UserError,
        match=r"global_batch_tokens=1200: 24 sequences a step cannot be cut into 4 ranks × "
        r"micro_batch_sequences=4; expected a multiple of 800",
    ):
        StepDataset(reader, 24, 0, 4)


def test_a_source_shorter_than_a_window_is_an_error(room):
    shards = TokenShards.open(room.shards)
    with pytest.raises(UserError, match=r"sequence_length=1000000: a/b has \d+ tokens"):
        window_sizes(shards, Source("a/b"), 1_000_000)
    with pytest.raises(UserError, match="shuffle_chunks=0: expected a positive number or null"):
        window_sizes(shards, Source("a/b", shuffle_chunks=0), 10)
