"""The LightningDataModule of pairs: exact resume, on any number of workers and ranks.

One Lightning batch is a rank's share of one optimizer step: micro-batches of whole pairs, each a
single row in which chosen and rejected answers stand one after the other. Attention stays within
an answer (``document_ids``), so a row needs no padding, and what a pair is worth does not depend on
its neighbours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from olmoflow.errors import UserError
from olmoflow.tokens.data_module import Steps
from olmoflow.tokens.pairs.documents import DocumentReader
from olmoflow.tokens.pairs.packing import PairOrder, pack_pairs
from olmoflow.tokens.pairs.reference import count_targets, read_log_probs
from olmoflow.tokens.permutation import hash_seed
from olmoflow.tokens.reader import TokenShards
from olmoflow.tokens.windows import MicroBatch

PairPacking = Literal["whole_pairs", "none"]


class PairDataModule(pl.LightningDataModule):
    """Batches of pairs of answers.

    Args:
        shards: The folder or URL of a split of shards of pairs.
        sequence_length: Tokens of an answer with its prompt, at most.
        global_batch_pairs: Pairs of one optimizer step over all ranks.
        micro_batch_tokens: Tokens that a rank computes at once, at most.
        seed: Of the order.
        packing: ``whole_pairs``: as many in a micro-batch as it has room for; ``none``: one.
        reference: A folder with a reference's log-probabilities of these shards; None: without.
        num_workers: Processes that read tokens.
        cache_dir: Where remote shards are cached.
        cache_bytes: At most so much of them.
        ignore_fingerprint: Resume although the data have changed.

    Raises:
        UserError: The shards hold no pairs or too long ones, the reference is of other shards, or
            a number is out of its range; names the key.
    """

    def __init__(
        self,
        shards: str,
        *,
        sequence_length: int,
        global_batch_pairs: int,
        micro_batch_tokens: int,
        seed: int,
        packing: PairPacking = "whole_pairs",
        reference: str | None = None,
        num_workers: int = 0,
        cache_dir: Path | None = None,
        cache_bytes: int | None = None,
        ignore_fingerprint: bool = False,
    ) -> None:
        super().__init__()
        if global_batch_pairs < 1:
            raise UserError(f"global_batch_pairs={global_batch_pairs}: expected at least 1")
        self.global_batch_pairs, self.num_workers = global_batch_pairs, num_workers
        self.ignore_fingerprint = ignore_fingerprint
        self.shards = TokenShards.open(shards, cache_dir=cache_dir, cache_bytes=cache_bytes)
        self.documents = DocumentReader(self.shards)
        self.pairs = _count_pairs(self.shards)
        self.lengths = self.documents.lengths.reshape(-1, 2).sum(1)
        self.micro_batch_tokens = micro_batch_tokens if packing == "whole_pairs" else 0
        self._check_lengths(sequence_length)
        self.reference = read_log_probs(Path(reference), self.shards) if reference else None
        self.order = PairOrder(self.pairs, seed)
        # Where the run was taken up: from here on the order is counted in steps of today's size.
        self._first_step = self._first_pair = 0

    @property
    def vocab_size(self) -> int | None:
        """Ids are below this; None if the shards do not say."""
        return self.shards.vocab_size

    def train_dataloader(self) -> Steps:
        """This rank's batches, without end, from the step that was restored."""
        if self.trainer is None:
            return self.loader(0, 1, self._first_step)
        share = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        return self.loader(share["rank"], share["num_replicas"], self.trainer.global_step)

    def loader(self, rank: int, world: int, first_step: int) -> Steps:
        """The batches of one rank from a step on.

        Raises:
            UserError: A step cannot be cut into so many ranks.
        """
        dataset = PairSteps(self, rank, world, step=self._first_step, pair=self._first_pair)
        return Steps(dataset, first_step, self.num_workers)

    def state_dict(self) -> dict[str, Any]:
        """The step that comes next, the pairs consumed until then, and the order's identity."""
        step = self.trainer.global_step if self.trainer else self._first_step
        pairs = self._first_pair + (step - self._first_step) * self.global_batch_pairs
        return {"step": step, "pairs": pairs, "fingerprint": self.fingerprint()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's position, also with another batch size.

        Raises:
            UserError: The checkpoint was trained on another order.
        """
        now = self.fingerprint()
        if state.get("fingerprint") != now and not self.ignore_fingerprint:
            raise UserError(
                f"data: the checkpoint's order of pairs is {state.get('fingerprint')}, this one is "
                f"{now}; expected the same shards and seed "
                "(runtime.ignore_fingerprint=true resumes all the same)"
            )
        self._first_step, self._first_pair = int(state["step"]), int(state["pairs"])

    def fingerprint(self) -> str:
        """Identifies the order: which pair comes at which place."""
        return f"{hash_seed('pairs', self.shards.content, self.order.seed):016x}"

    def _check_lengths(self, sequence_length: int) -> None:
        longest = int(self.documents.lengths.argmax())
        found = int(self.documents.lengths[longest])
        if found > sequence_length:
            raise UserError(
                f"sequence_length={sequence_length}: {self.shards.files.name} has an answer of "
                f"{found} tokens (pair {longest // 2}); expected shards tokenized with at most "
                "this sequence_length and too_long=truncate or drop"
            )
        if len(empty := np.flatnonzero(count_targets(self.shards) == 0)):
            raise UserError(
                f"shards: {self.shards.files.name}: pair {empty[0] // 2} has an answer of which "
                "nothing is learnt; expected something in both"
            )
        together = int(self.lengths.max())
        if self.micro_batch_tokens and together > self.micro_batch_tokens:
            raise UserError(
                f"runtime.micro_batch_tokens={self.micro_batch_tokens}: the longest pair has "
                f"{together} tokens; expected at least as many"
            )


class PairSteps(Dataset[list[MicroBatch]]):
    """Item s is one rank's whole share of optimizer step s.

    Args:
        data: Whose pairs.
        rank: Which share.
        world: How many ranks share a step.
        step: The first step that counts from ``pair``.
        pair: Position in the order where that step begins.

    Raises:
        UserError: A step cannot be cut into so many ranks.
    """

    def __init__(
        self, data: PairDataModule, rank: int, world: int, *, step: int = 0, pair: int = 0
    ) -> None:
        self._batch = data.global_batch_pairs
        if self._batch % world:
            raise UserError(
                f"global_batch_pairs={self._batch}: expected a multiple of the {world} ranks"
            )
        # Not the module itself: it holds the trainer, and workers get what this refers to.
        self._documents, self._order = data.documents, data.order
        self._lengths, self._reference = data.lengths, data.reference
        self._capacity, self._rank, self._world = data.micro_batch_tokens, rank, world
        self._origin = pair - step * self._batch

    def __getitem__(self, step: int) -> list[MicroBatch]:
        first = self._origin + step * self._batch
        if self._documents.shards.remote:
            # Far enough that whole chunks arrive in time; the order is known, so it costs nothing.
            self._documents.expect(_documents_of(self._order.locate(first, 16 * self._batch)))
        pairs = self._order.locate(first, self._batch)
        own = self._cut(pairs)[self._rank :: self._world]
        return [self._micro_batch(pairs[places]) for places in own]

    def _cut(self, pairs: NDArray[np.int64]) -> list[list[int]]:
        if not self._capacity:
            return [[place] for place in range(len(pairs))]
        return pack_pairs(self._lengths[pairs], self._capacity, self._world)

    def _micro_batch(self, pairs: NDArray[np.int64]) -> MicroBatch:
        documents = _documents_of(pairs)
        batch = {**self._documents.row(documents.tolist()), "pairs": torch.from_numpy(pairs)}
        if self._reference is not None:
            batch["reference"] = torch.from_numpy(self._reference[documents])
        return batch


def _documents_of(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([2 * pairs, 2 * pairs + 1], 1).reshape(-1)


def _count_pairs(shards: TokenShards) -> int:
    documents = len(shards.document_starts)
    if shards.kind != "pairs" or documents % 2:
        raise UserError(
            f"shards: {shards.files.name} holds {documents} {shards.kind}; expected pairs "
            "(olmoflow tokenize preferences=…)"
        )
    return documents // 2
