"""The LightningDataModule of token shards: exact resume on any number of workers and ranks.

One Lightning batch is a rank's whole share of one optimizer step, as a list of micro-batches. The
samples of step s are the positions [s·B, (s+1)·B) of the mixture's order, cut among the ranks; the
only state is the step, which the trainer counts: a sampler's own position runs ahead of training by
what the workers have prefetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from olmoflow.errors import UserError
from olmoflow.tokens.mixture import Mixture, OnCap, Sizes, Source
from olmoflow.tokens.reader import TokenShards

MicroBatch = dict[str, Tensor]


class TokenDataModule(pl.LightningDataModule):
    """Batches of token windows from a mixture of shards.

    A sample is a window of ``sequence_length + 1`` tokens at stride ``sequence_length``, so every
    token is a target once. Documents are concatenated; attention may cross their borders unless
    ``document_mask`` is set.

    Args:
        sources: What is mixed; each names the folder or URL of one split of shards.
        sequence_length: T, tokens.
        global_batch_tokens: Tokens of one optimizer step over all ranks.
        micro_batch_sequences: Sequences of one micro-batch.
        seed: Of the order.
        max_steps: Steps of the run, for the repetition caps; None: caps are not checked.
        document_mask: Add ``document_ids``, so that attention stays within documents.
        on_cap: ``error`` or ``redistribute``, see `Mixture`.
        num_workers: Processes that read tokens.
        cache_dir: Where remote shards are cached.
        cache_bytes: At most so much of them.
        ignore_fingerprint: Resume although the mixture has changed.

    Raises:
        UserError: The batch cannot be cut so, or the mixture is impossible; names the keys.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        sequence_length: int,
        global_batch_tokens: int,
        micro_batch_sequences: int,
        seed: int,
        max_steps: int | None = None,
        document_mask: bool = False,
        on_cap: OnCap = "error",
        num_workers: int = 0,
        cache_dir: Path | None = None,
        cache_bytes: int | None = None,
        ignore_fingerprint: bool = False,
    ) -> None:
        super().__init__()
        self.sequence_length, self.document_mask = sequence_length, document_mask
        self.batch_sequences, rest = divmod(global_batch_tokens, sequence_length)
        if rest:
            raise UserError(
                f"global_batch_tokens={global_batch_tokens}: expected a multiple of "
                f"sequence_length={sequence_length}"
            )
        self.micro_batch_sequences = micro_batch_sequences
        self.num_workers, self.ignore_fingerprint = num_workers, ignore_fingerprint
        self.shards = [
            TokenShards.open(s.shards, cache_dir=cache_dir, cache_bytes=cache_bytes)
            for s in sources
        ]
        self.mixture = Mixture(
            sources,
            [self._sizes(t, s) for t, s in zip(self.shards, sources, strict=True)],
            seed=seed,
            planned=None if max_steps is None else max_steps * self.batch_sequences,
            on_cap=on_cap,
        )
        self.first_step = 0

    def train_dataloader(self) -> DataLoader[list[MicroBatch]]:
        """Endless; begins at the step that was restored."""
        rank, world = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        return self.loader(rank, world, self.first_step)

    def loader(self, rank: int, world: int, first_step: int) -> DataLoader[list[MicroBatch]]:
        """The batches of one rank from a step on."""
        share, rest = divmod(self.batch_sequences, world)
        if rest or share % self.micro_batch_sequences:
            raise UserError(
                f"global_batch_tokens: {self.batch_sequences} sequences a step cannot be cut into "
                f"{world} ranks × runtime.micro_batch_sequences={self.micro_batch_sequences}"
            )
        steps = _Steps(self, rank * share, share)
        return DataLoader(
            steps,
            batch_size=None,
            sampler=_From(first_step),
            num_workers=self.num_workers,
            prefetch_factor=4 if self.num_workers else None,
            # Workers that outlive a fork of a threaded parent are a deadlock waiting to happen.
            multiprocessing_context="spawn" if self.num_workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def state_dict(self) -> dict[str, Any]:
        """The step that comes next, and the identity of the order."""
        step = self.trainer.global_step if self.trainer else self.first_step
        return {"step": step, "fingerprint": self.mixture.fingerprint()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's step.

        Raises:
            UserError: The checkpoint was trained on another order.
        """
        now = self.mixture.fingerprint()
        if state["fingerprint"] != now and not self.ignore_fingerprint:
            raise UserError(
                f"data: the checkpoint's order of samples is {state['fingerprint']}, this one is "
                f"{now}; expected the same shards, proportions, seed and sequence_length"
            )
        self.first_step = int(state["step"])

    def micro_batches(self, first: int, count: int) -> list[MicroBatch]:
        """The samples [first, first + count) of the order, cut into micro-batches."""
        which, windows = self.mixture.locate(first, count)
        length = self.sequence_length
        tokens = np.empty((count, length + 1), dtype=np.int64)
        ids = np.empty((count, length), dtype=np.int32) if self.document_mask else None
        for row, (source, window) in enumerate(zip(which, windows, strict=True)):
            shards, start = self.shards[source], int(window) * length
            tokens[row] = shards.read(start, length + 1)
            if ids is not None:
                ids[row] = shards.document_ids(start, length)
        return [
            _micro_batch(tokens[i : i + self.micro_batch_sequences], ids, i)
            for i in range(0, count, self.micro_batch_sequences)
        ]

    def expect(self, first: int, count: int) -> None:
        """Let remote shards fetch what these samples lie in."""
        which, windows = self.mixture.locate(first, count)
        for number, shards in enumerate(self.shards):
            wanted: dict[str, None] = {}
            for window in windows[which == number]:
                start = int(window) * self.sequence_length
                wanted.update(dict.fromkeys(shards.chunks_of(start, self.sequence_length + 1)))
            if wanted:
                shards.files.expect(list(wanted))

    def _sizes(self, shards: TokenShards, source: Source) -> Sizes:
        windows = (len(shards) - 1) // self.sequence_length
        if not source.shuffle_chunks:
            return Sizes(windows)
        ends = np.concatenate([[0], shards.ends[:-1]])[:: source.shuffle_chunks]
        starts = np.unique(np.minimum(-(-ends // self.sequence_length), windows))
        return Sizes(windows, tuple(int(s) for s in starts if s < windows))


class _Steps(Dataset[list[MicroBatch]]):
    """Item s is one rank's share of step s."""

    def __init__(self, data: TokenDataModule, offset: int, share: int) -> None:
        self.batch_sequences, self.offset, self.share = data.batch_sequences, offset, share
        # Only what reading needs travels to the workers, not the trainer that the module knows.
        self.data = _detached(data)

    def __getitem__(self, step: int) -> list[MicroBatch]:
        first = step * self.batch_sequences + self.offset
        self.data.expect(first, 4 * self.share)
        return self.data.micro_batches(first, self.share)


class _From(Sampler[int]):
    """Steps from a first one on, without end and so without a length."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        step = self.first
        while True:
            yield step
            step += 1


def _detached(data: TokenDataModule) -> TokenDataModule:
    copy = TokenDataModule.__new__(TokenDataModule)
    copy.__dict__ = {k: v for k, v in data.__dict__.items() if k != "trainer"}
    return copy


def _micro_batch(
    tokens: NDArray[np.int64], ids: NDArray[np.int32] | None, first: int
) -> MicroBatch:
    whole = torch.from_numpy(tokens)
    batch = {"input_ids": whole[:, :-1], "labels": whole[:, 1:]}
    if ids is not None:
        batch["document_ids"] = torch.from_numpy(ids[first : first + len(tokens)])
    return batch
