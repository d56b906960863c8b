"""The stage that gives every document its bucket of quality within its topic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from olmoflow.curate.quality.columns import read_fields, scores_of, topics_of, weights_of
from olmoflow.curate.quality.cuts import Batch, Cuts, token_weighted_cuts
from olmoflow.curate.stage import Progress
from olmoflow.errors import UserError


class Vigintiles:
    """Sets the bucket of each document: 1 the worst twentieth of its topic's tokens, 20 the best.

    A document without a score or topic gets none, and stays. Three passes over a few columns; only
    counts are held, see `cuts`.

    Args:
        score: The field with the score; higher is better.
        topic: The field with the topic; None: all documents are one.
        weight: The field with the number of tokens; None: UTF-8 bytes of the text.
        buckets: How many.
        output: The field to set.
    """

    def __init__(
        self,
        score: str = "metadata.quality",
        topic: str | None = "metadata.topic",
        weight: str | None = None,
        buckets: int = 20,
        output: str = "metadata.vigintile",
    ) -> None:
        if buckets < 2:
            raise UserError(f"buckets={buckets}: expected at least 2")
        self.score, self.topic, self.weight = score, topic, weight
        self.buckets, self.output = buckets, output

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """See `stage.Stage`."""
        steps = _Steps(3 * len(shards), progress)
        cuts = token_weighted_cuts(lambda: self._read(shards, steps), self.buckets)
        if not cuts:
            raise UserError(f"score={self.score}: no document has it; expected numbers")
        for shard in shards:
            found = [self._bucketed(batch, cuts) for batch in self._batches(shard)]
            values = pa.concat_arrays([pa.array([], pa.int32()), *found])
            keep = pa.array(np.ones(len(values), bool))
            reason = pa.nulls(len(values), pa.large_string())
            yield pa.table({"keep": keep, "reason": reason, self.output: values})
            steps.advance()

    def _read(self, shards: Sequence[Path], steps: _Steps) -> Iterator[Batch]:
        for shard in shards:
            yield from self._batches(shard)
            steps.advance()

    def _batches(self, shard: Path) -> Iterator[Batch]:
        names = [self.score, *filter(None, [self.topic]), self.weight or "text"]
        for documents in read_fields(shard, names):
            topics = topics_of(documents, self.topic)
            yield Batch(
                topics.dictionary.to_pylist(),
                np.asarray(topics.indices.fill_null(-1), np.int64),
                scores_of(documents, self.score),
                weights_of(documents, self.weight),
            )

    def _bucketed(self, batch: Batch, cuts: dict[str, Cuts]) -> pa.Array:
        buckets = np.zeros(len(batch.scores), np.int32)
        for number, name in enumerate(batch.names):
            if name in cuts:
                mine = (batch.topics == number) & ~np.isnan(batch.scores)
                buckets[mine] = 1 + cuts[name].bucket(batch.scores[mine])
        return pa.array(buckets, mask=buckets == 0)


class _Steps:
    """Counts shards gone through for whoever watches."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress, self.done = total, progress, 0

    def advance(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)
