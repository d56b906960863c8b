"""How a number is spread over the corpus: percentiles, a sample of it, sums. Nothing is removed.

What is found stands in the figures of the corpus, under the step's label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.partition.keys import numbers_of
from olmoflow.curate.pipeline.counting import sizes_of, words_of
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError

_ROWS = 4096
_WEIGHTS = ("documents", "bytes", "words")


class Percentile:
    """Finds the scores that divide the corpus into buckets of equal weight.

    Held are 16 bytes a document, of the share that is looked at.

    Args:
        score_key: The field with the score; documents without it do not count.
        num_buckets: How many.
        weight: What a document weighs: ``bytes`` of its text, its ``words``, or 1 (``documents``).
        subsample_rate: The share of the documents to look at, by the hash of their ids.

    Attributes:
        figures: ``breaks`` [num_buckets + 1], from the lowest score to the highest.
    """

    def __init__(
        self,
        score_key: str,
        num_buckets: int = 100,
        weight: str = "bytes",
        subsample_rate: float = 1.0,
    ) -> None:
        if num_buckets < 1:
            raise UserError(f"percentile.num_buckets={num_buckets}: expected at least 1")
        _check_weight("percentile", weight)
        if not 0 < subsample_rate <= 1:
            raise UserError(
                f"percentile.subsample_rate={subsample_rate:g}: expected above 0, at most 1"
            )
        self.score_key, self.num_buckets = score_key, num_buckets
        self.weight, self.subsample_rate = weight, subsample_rate
        self.figures: dict[str, Any] = {}

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        for batch in _batches(shards, [self.score_key], progress):
            scores = numbers_of(batch, self.score_key, "percentile.score_key")
            chosen = ~np.isnan(scores)
            if self.subsample_rate < 1:
                chosen &= _uniform(batch, 0) < self.subsample_rate
            found.append((scores[chosen], _weights(batch, self.weight)[chosen]))
        scores = np.concatenate([np.empty(0), *(s for s, _ in found)])
        if not len(scores):
            raise UserError(f"percentile.score_key={self.score_key}: no document has it")
        weights = np.concatenate([w for _, w in found])
        self.figures = {"breaks": weighted_breaks(scores, weights, self.num_buckets)}
        yield from _all_stay(shards)


class Reservoir:
    """Draws a sample of a number, each document with the same chance or by its weight.

    By weight it is Efraimidis and Spirakis' A-Res: of ``log(u) / weight`` the highest stay. What u
    is, the id decides, so the draw is the same in any order of the documents.

    Args:
        key: The field.
        output: A file to write the sample to, which `RangePartition` reads: a JSON list.
        reservoir_size: How many.
        weight: What a document weighs: ``documents``, ``bytes`` or ``words``.
        seed: Of the draw.

    Attributes:
        figures: ``drawn``, how many; ``quantiles``, the values at 0, 10, … 100 %.
    """

    def __init__(
        self,
        key: str,
        output: str | None = None,
        reservoir_size: int = 100_000,
        weight: str = "documents",
        seed: int = 0,
    ) -> None:
        if reservoir_size < 1:
            raise UserError(f"reservoir.reservoir_size={reservoir_size}: expected at least 1")
        _check_weight("reservoir", weight)
        self.key, self.output, self.size = key, output, reservoir_size
        self.weight, self.seed = weight, seed
        self.figures: dict[str, Any] = {}

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        values, orders = np.empty(0), np.empty(0)
        for batch in _batches(shards, [self.key], progress):
            found = numbers_of(batch, self.key, "reservoir.key")
            weights = _weights(batch, self.weight)
            with np.errstate(divide="ignore"):
                order = np.log(_uniform(batch, self.seed)) / weights
            there = ~np.isnan(found) & (weights > 0)
            values = np.concatenate([values, found[there]])
            orders = np.concatenate([orders, order[there]])
            if len(values) > self.size:
                best = np.argpartition(-orders, self.size)[: self.size]
                values, orders = values[best], orders[best]
        if not len(values):
            raise UserError(f"reservoir.key={self.key}: no document has it")
        drawn = np.sort(values)
        quantiles = [float(drawn[(len(drawn) - 1) * p // 10]) for p in range(11)]
        self.figures = {"drawn": len(drawn), "quantiles": quantiles}
        if self.output is not None:
            percentiles = (np.arange(len(drawn)) + 0.5) / len(drawn)
            rows = zip(percentiles.tolist(), drawn.tolist(), strict=True)
            text = json.dumps([{"percentile": p, "value": v} for p, v in rows])
            Path(self.output).write_text(text + "\n")
        yield from _all_stay(shards)


class Count:
    """Adds up numbers over all documents; documents, bytes and words every step counts anyhow.

    Args:
        sum_keys: Fields to add up.

    Attributes:
        figures: By field, its sum.
    """

    def __init__(self, sum_keys: list[str] | None = None) -> None:
        self.sum_keys = sum_keys or []
        self.figures: dict[str, Any] = {}

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        sums = dict.fromkeys(self.sum_keys, 0.0)
        for batch in _batches(shards, self.sum_keys, progress):
            for key in sums:
                sums[key] += float(np.nansum(numbers_of(batch, key, "count.sum_keys")))
        self.figures = dict(sums)
        yield from _all_stay(shards)


def weighted_breaks(
    scores: NDArray[np.float64], weights: NDArray[np.float64], buckets: int
) -> list[float]:
    """[buckets + 1]: the lowest score, then the first up to which lie 1/n, 2/n … of the weight."""
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order])
    wanted = reached[-1] * np.arange(1, buckets) / buckets
    inner = scores[order][np.searchsorted(reached, wanted - 1e-9 * reached[-1])]
    return [float(scores.min()), *map(float, inner), float(scores.max())]


def _check_weight(step: str, weight: str) -> None:
    if weight not in _WEIGHTS:
        raise UserError(f"{step}.weight={weight}: expected one of {', '.join(_WEIGHTS)}")


def _weights(batch: pa.Table, weight: str) -> NDArray[np.float64]:
    if weight == "documents":
        return np.ones(len(batch))
    count = sizes_of if weight == "bytes" else words_of
    return count(strings_of(batch.column("text"))).astype(np.float64)


def _uniform(batch: pa.Table, seed: int) -> NDArray[np.float64]:
    """[rows], a number in (0, 1] that id and seed decide."""
    ids = pa.array([f"{seed} {i}" for i in batch.column("id").to_pylist()], pa.large_string())
    return ((hashes_of(strings_of(ids)) >> np.uint64(11)).astype(np.float64) + 1) / 2**53


def _batches(
    shards: Sequence[Path], fields: Sequence[str], progress: Progress | None
) -> Iterator[pa.Table]:
    for number, shard in enumerate(shards, 1):
        file = parquet.ParquetFile(shard)
        there = set(file.schema_arrow.names)
        columns = {n if n in there else n.partition(".")[0] for n in fields} & there
        for batch in file.iter_batches(_ROWS, columns=sorted(columns | {"id", "text"})):
            yield pa.table(batch)
        if progress:
            progress(number, len(shards))


def _all_stay(shards: Sequence[Path]) -> Iterator[pa.Table]:
    for shard in shards:
        rows = parquet.read_metadata(shard).num_rows
        yield pa.table({"keep": np.ones(rows, np.bool_), "reason": pa.nulls(rows, pa.string())})
