"""Exact resume: the samples after it are those of the run that was never interrupted."""

import shutil

import lightning.pytorch as pl
import pytest
import torch

from olmoflow.errors import UserError
from olmoflow.tokens import Source, TokenDataModule

LENGTH, SEQUENCES = 32, 8
PACKINGS = pytest.mark.parametrize("packing", ["concatenate", "best_fit"])


def module(room, *, sequences=SEQUENCES, **kwargs):
    settings = {"micro_batch_sequences": 2, "seed": 5, **kwargs}
    sources = [Source(str(room.shards), 0.7, 100), Source(str(room.shards), 0.3, 100, 1)]
    return TokenDataModule(
        settings.pop("sources", sources),
        sequence_length=LENGTH,
        global_batch_tokens=sequences * LENGTH,
        **settings,
    )


def steps(data, first, count, rank=0, world=1):
    """[count, sequences of the rank, LENGTH]."""
    loader = iter(data.loader(rank, world, first))
    return torch.stack(
        [torch.cat([micro["input_ids"] for micro in next(loader)]) for _ in range(count)]
    )


class Recorder(pl.LightningModule):
    """Remembers what it was given; one optimizer step a batch."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append(torch.cat([micro["input_ids"] for micro in batch]))
        self.optimizers().step()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def fit(data, until, folder, resume=None):
    recorder = Recorder()
    trainer = pl.Trainer(
        max_steps=until, max_epochs=-1, accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(recorder, datamodule=data, ckpt_path=resume)
    trainer.save_checkpoint(folder / "saved.ckpt")
    return torch.stack(recorder.seen)


@PACKINGS
@pytest.mark.distributed
def test_a_run_resumed_on_other_workers_sees_what_the_uninterrupted_run_sees(
    room, tmp_path, packing
):
    whole = fit(module(room, packing=packing), 9, tmp_path)
    before = fit(module(room, packing=packing), 4, tmp_path)
    after = fit(module(room, packing=packing, num_workers=2), 9, tmp_path, tmp_path / "saved.ckpt")
    assert torch.equal(torch.cat([before, after]), whole)
    # And back again, from a run that has prefetched in its workers.
    last = fit(module(room, packing=packing), 12, tmp_path, tmp_path / "saved.ckpt")
    assert torch.equal(last, steps(module(room, packing=packing), 9, 3))


@PACKINGS
def test_ranks_share_each_step_and_may_change_in_number(room, packing):
    whole = steps(module(room, packing=packing), 0, 12)
    for world, first in ((1, 0), (2, 5), (4, 9)):
        ranks = [
            steps(module(room, packing=packing), first, 3, rank, world) for rank in range(world)
        ]
        assert torch.equal(torch.cat(ranks, dim=1), whole[first : first + 3])


@PACKINGS
def test_another_batch_size_goes_on_where_the_run_was(room, tmp_path, packing):
    samples = steps(module(room, packing=packing), 0, 12).reshape(-1, LENGTH)
    checkpoint = tmp_path / "saved.ckpt"
    fit(module(room, packing=packing), 6, tmp_path)
    larger = fit(module(room, packing=packing, sequences=16), 9, tmp_path, checkpoint)
    assert torch.equal(larger.reshape(-1, LENGTH), samples[48:96])
    # The position counts both kinds of steps.
    smaller = fit(module(room, packing=packing, sequences=4), 10, tmp_path, checkpoint)
    assert torch.equal(smaller, steps(module(room, packing=packing, sequences=4), 24, 1))


def test_another_order_is_refused_by_name(room):
    state = module(room).state_dict()
    with pytest.raises(UserError, match="the checkpoint's order of samples is") as error:
        module(room, seed=6).load_state_dict(state)
    assert "runtime.ignore_fingerprint=true resumes all the same" in str(error.value)
    module(room, seed=6, ignore_fingerprint=True).load_state_dict(state)
    # Ranks, workers and batches are no part of the order.
    module(room, sequences=16, num_workers=1, micro_batch_sequences=1).load_state_dict(state)


def test_the_fingerprint_knows_the_tokens(room, tmp_path):
    from olmoflow.tokens.shards import write_shards

    (tmp_path / "a.jsonl").write_text('{"text": "' + "a b c d e f " * 2000 + '"}\n')
    write_shards(tmp_path / "a.jsonl", room.tokenizer, tmp_path / "one")
    (tmp_path / "a.jsonl").write_text('{"text": "' + "a b c d f e " * 2000 + '"}\n')
    write_shards(tmp_path / "a.jsonl", room.tokenizer, tmp_path / "two")
    found = [module(room, sources=[Source(str(tmp_path / n))]) for n in ("one", "two")]
    assert found[0].mixture.fingerprint() != found[1].mixture.fingerprint()


@pytest.mark.distributed
def test_a_damaged_chunk_is_told_in_one_line_from_a_worker_too(room, tmp_path):
    copy = shutil.copytree(room.shards, tmp_path / "shards")
    chunk = copy / "chunk-0-1.bin"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    for workers in (0, 1):
        data = module(room, sources=[Source(str(copy), max_repetition=100)], num_workers=workers)
        with pytest.raises(UserError) as error:
            steps(data, 0, 100)
        assert str(error.value).startswith(f"{chunk}: damaged, ")
        assert "\n" not in str(error.value)


def test_mistakes_are_told_in_one_line(room):
    with pytest.raises(UserError, match="global_batch_tokens=100: expected a multiple of seq"):
        TokenDataModule(
            [Source(str(room.shards))],
            sequence_length=32,
            global_batch_tokens=100,
            micro_batch_sequences=1,
            seed=0,
        )
    with pytest.raises(UserError, match=r"data\.sources: empty"):
        module(room, sources=[])
    with pytest.raises(UserError, match=r"max_repetition=1 allows fewer"):
        module(room, sources=[Source(str(room.shards))], max_steps=10_000)
