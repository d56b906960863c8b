"""Upsampling applied: how often each document is repeated, by topic and bucket of quality.

A bucket's factor is the mean of its topic's curve over the percentiles that the bucket spans. A
document of factor 2.3 stands twice, and a third time if its id's hash says so, which three in ten
do: the same documents whatever the order and the number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from olmoflow.curate.hashes import uniforms_of
from olmoflow.curate.quality.columns import read_fields, scores_of, topics_of, weights_of
from olmoflow.curate.quality.curve import MAX_REPETITION, TRUNCATION, solve_curve
from olmoflow.curate.schema import field
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError

Factors = NDArray[np.float64]


class Upsample:
    """Sets how often each document is repeated; those that the curve leaves out are removed.

    Two passes; held are the tokens of each topic and bucket. The step `repeat` writes the copies.

    Args:
        ratio: Tokens wanted over tokens there are, of every topic that ``targets`` does not name.
        targets: Tokens wanted by topic, in the unit of ``weight``.
        bucket: The field with the bucket, from `Vigintiles`.
        topic: The field with the topic; None: all documents are one.
        weight: The field with the number of tokens; None: UTF-8 bytes of the text.
        buckets: How many there are.
        truncation: The share of the worst text that is left out.
        max_repetition: Of the best bucket, on average.
        output: The field to set: a whole number of at least 1.
        seed: Of the fractional repetitions.
    """

    def __init__(
        self,
        ratio: float = 1.0,
        targets: Mapping[str, float] | None = None,
        bucket: str = "metadata.vigintile",
        topic: str | None = "metadata.topic",
        weight: str | None = None,
        buckets: int = 20,
        truncation: float = TRUNCATION,
        max_repetition: float = MAX_REPETITION,
        output: str = "metadata.repetitions",
        seed: int = 0,
    ) -> None:
        self.ratio, self.targets = ratio, dict(targets or {})
        self.bucket, self.topic, self.weight, self.buckets = bucket, topic, weight, buckets
        self.truncation, self.max_repetition = truncation, max_repetition
        self.output, self.seed = output, seed

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        tokens: dict[str, NDArray[np.int64]] = {}
        for number, shard in enumerate(shards, 1):
            for documents in read_fields(shard, self._fields(self.weight or "text")):
                self._count(documents, tokens)
            if progress:
                progress(number, 2 * len(shards))
        factors = self.factors(tokens)
        for number, shard in enumerate(shards, 1):
            batches = read_fields(shard, self._fields("id"))
            yield pa.concat_tables(
                [_nothing(self.output), *(self._judge(b, factors) for b in batches)]
            )
            if progress:
                progress(len(shards) + number, 2 * len(shards))

    def factors(self, tokens: Mapping[str, NDArray[np.int64]]) -> dict[str, Factors]:
        """By topic [buckets], how often each bucket is repeated.

        Args:
            tokens: By topic [buckets].

        Raises:
            UserError: A target names no topic, or asks for more than the curve allows.
        """
        for name in self.targets:
            if name not in tokens:
                raise UserError(f"targets.{name}: no document has this topic with a bucket")
        return {name: self._topic_factors(name, counts) for name, counts in tokens.items()}

    def _topic_factors(self, name: str, counts: NDArray[np.int64]) -> Factors:
        total = int(counts.sum())
        ratio = self.targets[name] / total if name in self.targets else self.ratio
        try:
            curve = solve_curve(
                ratio,
                truncation=self.truncation,
                max_repetition=self.max_repetition,
                buckets=self.buckets,
            )
        except UserError as error:
            raise UserError(f"topic {name} of {total:,}: {error}") from None
        ends = np.concatenate([[0.0], counts.cumsum() / total])
        spans = pairwise(ends.tolist())
        return np.array([curve.mean(low, high) if high > low else 0.0 for low, high in spans])

    def _fields(self, *more: str) -> list[str]:
        return [self.bucket, *filter(None, [self.topic]), *more]

    def _places(
        self, documents: pa.Table
    ) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Names of topics; the topic and the bucket of each row, -1 where it has none."""
        topics = topics_of(documents, self.topic)
        buckets = np.nan_to_num(scores_of(documents, self.bucket), nan=0.0).astype(np.int64) - 1
        if len(buckets) and buckets.max() >= self.buckets:
            raise UserError(
                f"bucket={self.bucket}: {buckets.max() + 1}; expected 1 to {self.buckets}"
            )
        which = np.asarray(topics.indices.fill_null(-1), np.int64)
        return topics.dictionary.to_pylist(), which, buckets

    def _count(self, documents: pa.Table, tokens: dict[str, NDArray[np.int64]]) -> None:
        names, topics, buckets = self._places(documents)
        weights = weights_of(documents, self.weight)
        for number, name in enumerate(names):
            mine = (topics == number) & (buckets >= 0)
            if mine.any():
                counts = np.bincount(buckets[mine], weights[mine], self.buckets)
                before = tokens.setdefault(name, np.zeros(self.buckets, np.int64))
                before += counts.astype(np.int64)

    def _judge(self, documents: pa.Table, factors: Mapping[str, Factors]) -> pa.Table:
        names, topics, buckets = self._places(documents)
        factor = np.zeros(len(documents))
        for number, name in enumerate(names):
            mine = (topics == number) & (buckets >= 0)
            if mine.any():
                factor[mine] = factors[name][buckets[mine]]
        times = repetitions(field(documents, "id"), factor, self.seed)
        unplaced = (buckets < 0) | (topics < 0)
        why = np.where(unplaced, "no topic or bucket of quality", "left out by its quality")
        reason = pa.array(why, pa.large_string(), mask=times > 0)
        return pa.table({"keep": times > 0, "reason": reason, self.output: pa.array(times)})


def repetitions(
    ids: pa.Array | pa.ChunkedArray, factors: NDArray[np.float64], seed: int = 0
) -> NDArray[np.int64]:
    """[rows], whole numbers whose mean is the factor: its floor, or one more by the id's hash."""
    whole = np.floor(factors)
    more = uniforms_of(strings_of(ids), seed) < factors - whole
    return whole.astype(np.int64) + more


def _nothing(output: str) -> pa.Table:
    columns = [("keep", pa.bool_()), ("reason", pa.large_string()), (output, pa.int64())]
    return pa.schema(columns).empty_table()
