"""Windows of shards as tensors: what the processes that read tokens run (and import no Lightning).

A sample is a window of T + 1 tokens at stride T: T inputs and, shifted by one, T targets. So every
token of a source but its first is a target exactly once per epoch. The last window of a source is
filled up to its length, and what fills it is no target (-100). Of conversations only those tokens
are targets that the shards say are learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from olmoflow.errors import UserError
from olmoflow.tokens.instance_filter import InstanceFilter
from olmoflow.tokens.mixture import Mixture, Sizes, Source
from olmoflow.tokens.reader import TokenShards

MicroBatch = dict[str, Tensor]
IGNORE = -100
FILTERED = -101  # no target either, but counted in the loss's denominator


@dataclass
class WindowReader:
    """Reads samples of a mixture.

    Attributes:
        shards: [sources].
        mixture: Their order.
        sequence_length: T, tokens.
        micro_batch_sequences: Sequences of one micro-batch.
        document_mask: Add ``document_ids``.
        instance_filter: Sequences whose labels are masked, or None.
    """

    shards: Sequence[TokenShards]
    mixture: Mixture
    sequence_length: int
    micro_batch_sequences: int
    document_mask: bool = False
    instance_filter: InstanceFilter | None = None

    def micro_batches(self, first: int, count: int) -> list[MicroBatch]:
        """The samples [first, first + count) of the order, cut into micro-batches.

        Returns:
            Dictionaries of ``input_ids`` and ``labels``, int64 [b, T], and, with a document mask,
            ``document_ids``, int32 [b, T].
        """
        length = self.sequence_length
        tokens = np.empty((count, length + 1), dtype=np.int64)
        ids = np.empty((count, length), dtype=np.int32) if self.document_mask else None
        untaught = any(shards.targets is not None for shards in self.shards)
        learnt = np.ones((count, length + 1), dtype=bool) if untaught else None
        masked: list[tuple[int, int, int]] = []
        which, windows = self.mixture.locate(first, count)
        rows = zip(which.tolist(), windows.tolist(), strict=True)
        for row, (source, window) in enumerate(rows):
            own = (each if each is None else each[row] for each in (ids, learnt))
            missing = self._sample(source, window, tokens[row], *own)
            if missing:
                tokens[row, -missing:] = tokens[row, -missing - 1]
                masked.append((row, missing, IGNORE))
            present = tokens[row, : length + 1 - max(1, missing)]
            if self.instance_filter and self.instance_filter.rejects(present):
                value = FILTERED if self.instance_filter.counted else IGNORE
                masked.append((row, length, value))
        return self._cut(torch.from_numpy(tokens), ids, learnt, masked)

    def _sample(
        self,
        source: int,
        window: int,
        tokens: NDArray[np.int64],
        ids: NDArray[np.int32] | None,
        learnt: NDArray[np.bool_] | None,
    ) -> int:
        """Read a window into [T + 1] tokens, [T] document ids and [T + 1] marks of what is learnt.

        Returns:
            How many of the T + 1 do not exist.
        """
        shards, length = self.shards[source], self.sequence_length
        start = window * length
        missing = max(0, start + length + 1 - len(shards))
        self._read(shards, start, tokens[: length + 1 - missing], learnt)
        if ids is not None:
            present = length - missing
            ids[:present] = shards.document_ids(start, present)
            ids[present:] = ids[present - 1]
        return missing

    def _read(
        self,
        shards: TokenShards,
        start: int,
        tokens: NDArray[np.int64],
        learnt: NDArray[np.bool_] | None,
    ) -> None:
        """Read tokens, and which of them are learnt."""
        shards.read_into(start, tokens)
        if learnt is not None and shards.targets is not None:
            shards.targets.mask(start, learnt[: len(tokens)])

    def expect(self, first: int, count: int) -> None:
        """Let remote shards fetch what these samples lie in."""
        if not any(shards.remote for shards in self.shards):
            return
        which, windows = self.mixture.locate(first, count)
        for number, shards in enumerate(self.shards):
            starts = windows[which == number] * self.sequence_length
            shards.expect(starts, self.sequence_length + 1)

    def _cut(
        self,
        tokens: Tensor,
        ids: NDArray[np.int32] | None,
        learnt: NDArray[np.bool_] | None,
        masked: list[tuple[int, int, int]],
    ) -> list[MicroBatch]:
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        if masked or learnt is not None:
            labels = labels.clone()  # it shares its memory with the inputs
            for row, last, value in masked:
                labels[row, -last:] = value
            if learnt is not None:
                labels[torch.from_numpy(~learnt[:, 1:])] = IGNORE
        batches = []
        for start in range(0, len(tokens), self.micro_batch_sequences):
            here = slice(start, start + self.micro_batch_sequences)
            batch = {"input_ids": inputs[here], "labels": labels[here]}
            if ids is not None:
                batch["document_ids"] = torch.from_numpy(ids[here])
            batches.append(batch)
        return batches


class StepDataset(Dataset[list[MicroBatch]]):
    """Item s is one rank's whole share of optimizer step s.

    Args:
        reader: What reads.
        batch_sequences: Sequences of a step over all ranks.
        rank: Which share.
        world: How many ranks share a step.
        step: The first step that counts from ``sample``.
        sample: Position in the order where that step begins.

    Raises:
        UserError: A step cannot be cut into so many ranks and micro-batches.
    """

    def __init__(
        self,
        reader: WindowReader,
        batch_sequences: int,
        rank: int = 0,
        world: int = 1,
        *,
        step: int = 0,
        sample: int = 0,
    ) -> None:
        micro = reader.micro_batch_sequences
        if batch_sequences % (world * micro):
            raise UserError(
                f"global_batch_tokens={batch_sequences * reader.sequence_length}: "
                f"{batch_sequences} sequences a step cannot be cut into {world} ranks × "
                f"micro_batch_sequences={micro}; expected a multiple of "
                f"{world * micro * reader.sequence_length}"
            )
        self._reader = reader
        self._batch = batch_sequences
        self._share = batch_sequences // world
        self._origin = sample - step * batch_sequences + rank * self._share

    def __getitem__(self, step: int) -> list[MicroBatch]:
        first = self._origin + step * self._batch
        # Far enough that whole chunks arrive in time; the order is known, so it costs nothing.
        self._reader.expect(first, 16 * self._batch)
        return self._reader.micro_batches(first, self._share)


class ReportedSteps(Dataset[list[MicroBatch] | UserError]):
    """Steps, or the mistake that stands in a step's way: raised in a worker, a mistake would come
    to the user as a traceback.
    """

    def __init__(self, steps: Dataset[list[MicroBatch]]) -> None:
        self._steps = steps

    def __getitem__(self, step: int) -> list[MicroBatch] | UserError:
        try:
            return self._steps[step]
        except UserError as error:
            return error


def window_sizes(shards: TokenShards, source: Source, sequence_length: int) -> Sizes:
    """How many windows a source has and where its groups of chunks begin.

    Raises:
        UserError: The source has fewer tokens than one window.
    """
    if len(shards) <= sequence_length:
        raise UserError(
            f"sequence_length={sequence_length}: {source.shards} has {len(shards)} tokens; "
            f"expected at least {sequence_length + 1}"
        )
    windows = -(-(len(shards) - 1) // sequence_length)
    if source.shuffle_chunks is None:
        return Sizes(windows, content=shards.content)
    if source.shuffle_chunks < 1:
        raise UserError(
            f"shuffle_chunks={source.shuffle_chunks}: expected a positive number or null"
        )
    first_tokens = np.concatenate([[0], shards.ends[:-1]])[:: source.shuffle_chunks]
    # A window belongs to the chunk of its first token.
    starts = np.unique(-(-first_tokens // sequence_length))
    return Sizes(windows, tuple(starts[starts < windows].tolist()), shards.content)
