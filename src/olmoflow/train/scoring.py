"""Scores the documents of shards with a model: the reference of preference losses.

Each document's log-probability is computed once, in packed rows without padding. The rows are
shared out among the ranks; what a rank has done it writes down now and then, so that the work goes
on where it was cut, on another number of ranks too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.distributed.device_mesh import init_device_mesh

from olmoflow.errors import UserError
from olmoflow.mesh import Mesh
from olmoflow.model import Olmo3, Olmo3Config
from olmoflow.model.attention import AttentionBackend
from olmoflow.model.checkpoint import Checkpoint
from olmoflow.tokens.packing import best_fit
from olmoflow.tokens.pairs.documents import DocumentReader
from olmoflow.tokens.pairs.reference import load_parts, save_part
from olmoflow.train.objectives.document_log_probs import document_log_probs, prepare_documents
from olmoflow.train.sharding import shard

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scorer:
    """A model and how it scores.

    Attributes:
        model: Its weights are loaded.
        device: Where it is.
        row_tokens: Tokens of a row, at most.
        chunk_tokens: Targets whose logits exist at a time.
        save_seconds: How often a rank writes down what it has done.
    """

    model: Olmo3
    device: torch.device
    row_tokens: int
    chunk_tokens: int = 1024
    save_seconds: float = 60.0

    @torch.no_grad()
    def score(
        self,
        reader: DocumentReader,
        parts: Path,
        *,
        rank: int = 0,
        world: int = 1,
        progress: Progress | None = None,
    ) -> None:
        """Score this rank's share of the documents that no rank has scored yet.

        Args:
            reader: Whose documents.
            parts: Where ranks write down what they have done, see `load_parts`.
            rank: Which share.
            world: How many there are.
            progress: Called with (rows done, rows).

        Raises:
            UserError: A document is longer than the model or a row allows.
        """
        self._check(reader)
        left = np.flatnonzero(np.isnan(load_parts(parts, len(reader.lengths))))
        if dist.is_initialized():
            dist.barrier()  # all have read the same before one writes
        rows = pack_rows(left, reader.lengths, self.row_tokens, world)[rank::world]
        started, saved = time.time_ns(), time.monotonic()
        done: dict[int, float] = {}
        for number, documents in enumerate(rows):
            done.update(zip(documents, self.log_probs(reader, documents), strict=True))
            last = number == len(rows) - 1
            if last or time.monotonic() - saved > self.save_seconds:
                save_part(parts, f"{started}-{rank}-{number}", [*done], [*done.values()])
                saved, done = time.monotonic(), {}
            if progress:
                progress(number + 1, len(rows))

    def log_probs(self, reader: DocumentReader, documents: Sequence[int]) -> list[float]:
        """The log-probabilities of a few documents, in one row."""
        prepared = prepare_documents(reader.row(documents), len(documents))
        row = {name: values.to(self.device) for name, values in prepared.items()}
        found = document_log_probs(self.model, row, len(documents), self.chunk_tokens)
        scored: list[float] = found.total.tolist()
        return scored

    def _check(self, reader: DocumentReader) -> None:
        longest, limit = int(reader.lengths.max()), self.model.config.max_sequence_length
        if longest > limit:
            raise UserError(
                f"shards: a document of {longest} tokens; the model reads at most "
                f"model.max_sequence_length={limit}"
            )
        if longest > self.row_tokens:
            raise UserError(
                f"runtime.micro_batch_tokens={self.row_tokens}: a document has {longest} tokens; "
                "expected at least as many"
            )


def pack_rows(
    documents: NDArray[np.int64], lengths: NDArray[np.int64], capacity: int, world: int
) -> list[list[int]]:
    """The documents of each row, as many rows for each rank.

    Ranks that share a model compute together, so where rows are missing the first is done twice.
    """
    if not len(documents):
        return []
    longest_first = documents[np.argsort(-lengths[documents], kind="stable")]
    bins = best_fit(lengths[longest_first], capacity)
    rows: list[list[int]] = [[] for _ in range(int(bins.max()) + 1)]
    for document, row in zip(longest_first.tolist(), bins.tolist(), strict=True):
        rows[row].append(document)
    return rows + [rows[0]] * (-len(rows) % world)


def load_scorer_model(
    config: Olmo3Config,
    checkpoint: Checkpoint,
    layout: Mesh,
    *,
    attention: AttentionBackend,
    compute_dtype: torch.dtype,
    device: torch.device,
) -> Olmo3:
    """The model as training has it at its start: the same parameters, precision and sharding.

    Args:
        config: May stretch the checkpoint's positions.
        checkpoint: Its weights.
        layout: The ranks; beyond one, `torch.distributed` has been set up.
        attention: Attention backend.
        compute_dtype: Of activations and matrix products.
        device: This rank's.

    Raises:
        UserError: The ranks cannot be used, or the checkpoint does not fit.
    """
    if layout.context > 1:
        raise UserError(
            f"parallel.context={layout.context}: expected 1, since a document's log-probability "
            "is summed where all of it is"
        )
    with torch.device("meta"):
        model = Olmo3(config, attention=attention, compute_dtype=compute_dtype)
    if layout.ranks > 1:
        if dist.get_world_size() != layout.ranks:
            raise UserError(
                f"parallel.ranks={layout.ranks}: {dist.get_world_size()} ranks were started"
            )
        shape = (layout.replicate, layout.sharded)
        mesh = init_device_mesh(device.type, shape, mesh_dim_names=("replicate", "shard"))
        shard(model, mesh, compute_dtype)
    model.to_empty(device=device)
    checkpoint.load_model(model)
    return model.eval().requires_grad_(False)
