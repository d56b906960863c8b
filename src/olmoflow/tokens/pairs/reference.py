"""A model's log-probability of every document of shards, as a file.

``logprobs.parquet`` has one row a document, in their order: ``logprob``, the sum over its learnt
tokens in nats, and ``targets``, how many these are. It says which tokens were scored: shards of the
same name may hold others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.errors import UserError
from olmoflow.tokens.reader import TokenShards

LOG_PROBS = "logprobs.parquet"
_SCHEMA = pa.schema([("logprob", pa.float32()), ("targets", pa.int32())])
_CONTENT = b"shards"


def write_log_probs(
    folder: Path,
    shards: TokenShards,
    log_probs: NDArray[np.float32],
    targets: NDArray[np.int32],
) -> None:
    """Write the file; the arrays have an entry for every document."""
    table = pa.table({"logprob": log_probs, "targets": targets}, _SCHEMA)
    table = table.replace_schema_metadata({_CONTENT: shards.content})
    parquet.write_table(table, folder / LOG_PROBS, compression="zstd")


def read_log_probs(folder: Path, shards: TokenShards) -> NDArray[np.float32]:
    """The log-probabilities of all documents, float32 [documents].

    Raises:
        UserError: There are none, they are of other shards, or a document has none.
    """
    file = folder / LOG_PROBS
    try:
        table = parquet.read_table(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"reference: {file}: no log-probabilities ({error})") from error
    scored = (table.schema.metadata or {}).get(_CONTENT, b"").decode()
    if scored != shards.content:
        raise UserError(
            f"reference: {file} is of other shards ({scored or 'unknown'}) than "
            f"{shards.files.name} ({shards.content}); expected the same (olmoflow score makes it)"
        )
    log_probs: NDArray[np.float32] = table["logprob"].to_numpy()
    wanted = len(shards.document_starts)
    if len(log_probs) != wanted:
        raise UserError(f"reference: {file} has {len(log_probs)} documents, expected {wanted}")
    missing = np.flatnonzero(~np.isfinite(log_probs))
    if len(missing):
        raise UserError(
            f"reference: {file}: document {missing[0]} has no log-probability, and "
            f"{len(missing) - 1} others; expected one for each"
        )
    return log_probs


def save_part(
    folder: Path, part: str, documents: Sequence[int], log_probs: Sequence[float]
) -> None:
    """Keep what a rank has scored so far; appears whole or not at all."""
    folder.mkdir(exist_ok=True)
    unfinished = folder / f"{part}.partial"
    with unfinished.open("wb") as file:
        np.savez(file, documents=np.asarray(documents), log_probs=np.asarray(log_probs, np.float32))
    unfinished.rename(folder / f"{part}.npz")


def load_parts(folder: Path, documents: int) -> NDArray[np.float32]:
    """What all ranks have scored, float32 [documents]; no number where nothing has been yet."""
    log_probs = np.full(documents, np.nan, np.float32)
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as part:
            log_probs[part["documents"]] = part["log_probs"]
    return log_probs


def count_targets(shards: TokenShards) -> NDArray[np.int32]:
    """Learnt tokens of each document, int32 [documents]."""
    spans = shards.targets
    assert spans is not None
    documents = shards.document_starts.searchsorted(spans.starts, side="right") - 1
    counts = np.bincount(
        documents, weights=spans.ends - spans.starts, minlength=len(shards.document_starts)
    )
    return counts.astype(np.int32)
