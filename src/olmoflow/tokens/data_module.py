"""The LightningDataModule of token shards: exact resume on any number of workers and ranks.

One Lightning batch is a rank's whole share of one optimizer step, as a list of micro-batches. The
samples of a step are the next ones in the mixture's order, cut among the ranks. The position never
comes from a sampler, which runs ahead of training by what the workers have prefetched: it is the
trainer's step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from olmoflow.errors import UserError
from olmoflow.tokens.instance_filter import InstanceFilter
from olmoflow.tokens.mixture import Mixture, OnCap, Source
from olmoflow.tokens.packed_reader import PackedReader, packed_sizes
from olmoflow.tokens.packing import pack_source
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import (
    MicroBatch,
    ReportedSteps,
    StepDataset,
    WindowReader,
    window_sizes,
)

Packing = Literal["concatenate", "best_fit"]


class TokenDataModule(pl.LightningDataModule):
    """Batches of token sequences from a mixture of shards.

    With ``packing=concatenate`` a sample is a window of ``sequence_length + 1`` tokens at stride
    ``sequence_length``, so every token is a target once; with ``best_fit`` it is a few documents,
    whole unless longer than it. Attention may cross their borders unless ``document_mask`` is set.

    Args:
        sources: What is mixed; each names the folder or URL of one split of shards.
        sequence_length: T, tokens.
        global_batch_tokens: Tokens of one optimizer step over all ranks.
        micro_batch_sequences: Sequences of one micro-batch.
        seed: Of the order.
        max_steps: Steps of the run, for the repetition caps; None: caps are not checked.
        document_mask: Add ``document_ids``, so that attention stays within documents.
        packing: ``concatenate`` the documents and cut, or fit them whole, see `packing`.
        instance_filter: Sequences that are no targets; None: all are.
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
        packing: Packing = "concatenate",
        instance_filter: InstanceFilter | None = None,
        on_cap: OnCap = "error",
        num_workers: int = 0,
        cache_dir: Path | None = None,
        cache_bytes: int | None = None,
        ignore_fingerprint: bool = False,
    ) -> None:
        super().__init__()
        self.sequence_length = sequence_length
        self.batch_sequences, rest = divmod(global_batch_tokens, sequence_length)
        if rest or not self.batch_sequences:
            raise UserError(
                f"global_batch_tokens={global_batch_tokens}: expected a multiple of "
                f"sequence_length={sequence_length}"
            )
        self.num_workers, self.ignore_fingerprint = num_workers, ignore_fingerprint
        self.shards = [
            TokenShards.open(s.shards, cache_dir=cache_dir, cache_bytes=cache_bytes)
            for s in sources
        ]
        opened = list(zip(self.shards, sources, strict=True))
        packed = None
        if packing == "best_fit":
            packed = [pack_source(each, sequence_length, s.shuffle_chunks) for each, s in opened]
            sizes = [packed_sizes(*pair) for pair in zip(packed, self.shards, strict=True)]
        else:
            sizes = [window_sizes(each, source, sequence_length) for each, source in opened]
        self.mixture = Mixture(
            sources,
            sizes,
            seed=seed,
            planned=None if max_steps is None else max_steps * self.batch_sequences,
            on_cap=on_cap,
        )
        parts = (self.shards, self.mixture, sequence_length, micro_batch_sequences)
        self.reader = (
            WindowReader(*parts, document_mask, instance_filter)
            if packed is None
            else PackedReader(*parts, document_mask, instance_filter, packed)
        )
        # Where the run was taken up: from here on the order is counted in steps of today's size.
        self._first_step = self._first_sample = 0

    @property
    def vocab_size(self) -> int | None:
        """The largest vocabulary among the sources; None if one does not say."""
        sizes = [shards.vocab_size for shards in self.shards]
        return None if None in sizes else max(size for size in sizes if size is not None)

    def train_dataloader(self) -> Steps:
        """This rank's batches, without end, from the step that was restored."""
        if self.trainer is None:
            return self.loader(0, 1, self._first_step)
        share = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        return self.loader(share["rank"], share["num_replicas"], self.trainer.global_step)

    def loader(self, rank: int, world: int, first_step: int) -> Steps:
        """The batches of one rank from a step on.

        Raises:
            UserError: A step cannot be cut into so many ranks and micro-batches.
        """
        dataset = StepDataset(
            self.reader,
            self.batch_sequences,
            rank,
            world,
            step=self._first_step,
            sample=self._first_sample,
        )
        return Steps(dataset, first_step, self.num_workers)

    def state_dict(self) -> dict[str, Any]:
        """The step that comes next, the samples consumed until then, and the order's identity."""
        step = self.trainer.global_step if self.trainer else self._first_step
        samples = self._first_sample + (step - self._first_step) * self.batch_sequences
        return {"step": step, "samples": samples, "fingerprint": self.mixture.fingerprint()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's position, also with another batch size.

        Raises:
            UserError: The checkpoint was trained on another order.
        """
        now = self.mixture.fingerprint()
        if state["fingerprint"] != now and not self.ignore_fingerprint:
            raise UserError(
                f"data: the checkpoint's order of samples is {state['fingerprint']}, this one is "
                f"{now}; expected the same shards, proportions, seed and sequence_length "
                "(runtime.ignore_fingerprint=true resumes all the same)"
            )
        self._first_step = int(state["step"])
        self._first_sample = int(state["samples"])


class Steps:
    """A rank's batches from a step on, without end.

    Not a ``DataLoader``, though it holds one: Lightning puts its own distributed sampler into every
    ``DataLoader`` that it meets, and with it another order.
    """

    def __init__(
        self, dataset: Dataset[list[MicroBatch]], first_step: int, num_workers: int
    ) -> None:
        self.loader: DataLoader[list[MicroBatch] | UserError] = DataLoader(
            ReportedSteps(dataset),
            batch_size=None,
            sampler=_From(first_step),
            num_workers=num_workers,
            prefetch_factor=4 if num_workers else None,
            # Forking a parent that runs threads (CUDA, async checkpoints) may deadlock.
            multiprocessing_context="spawn" if num_workers else None,
            pin_memory=torch.cuda.is_available(),
        )

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        for batch in self.loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch


class _From(Sampler[int]):
    """Steps from a first one on, without end and so without a length."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        step = self.first
        while True:
            yield step
            step += 1
