"""Long documents by how well they compress: the most and the least compressible are dropped.

What compresses very well repeats itself, what hardly does is no prose: tables, hashes, scanned
noise. For Olmo 3's long documents 20 % were dropped at each end.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.curate.stage import Progress
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError

_BATCH_ROWS = 64
_LEVEL = 6  # gzip's own default


class GzipFilter:
    """Drops the documents at both ends of the order by compressed size over size.

    The bounds are quantiles over all documents that take part, weighted by nothing: 20 % are 20 %
    of the documents. Of a corpus it holds a ratio and two flags a document, 9 bytes.

    Args:
        lowest: Share of documents to drop that compress most.
        highest: Share of documents to drop that compress least.
        min_bytes: Shorter documents take no part and stay.
        output: Field that receives the ratio; None: none.

    Raises:
        UserError: The shares leave nothing.
    """

    def __init__(
        self,
        lowest: float = 0.2,
        highest: float = 0.2,
        min_bytes: int = 0,
        output: str | None = "metadata.gzip_ratio",
    ) -> None:
        if min(lowest, highest) < 0 or lowest + highest >= 1:
            raise UserError(
                f"lowest={lowest}, highest={highest}: expected shares from 0 that leave something"
            )
        self.lowest, self.highest = lowest, highest
        self.min_bytes, self.output = min_bytes, output

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """Judge every document; see `olmoflow.curate.stage.Stage`."""
        ratios = []
        with ThreadPoolExecutor(usable_cores()) as pool:
            for number, shard in enumerate(shards):
                ratios.append(self._ratios(shard, pool))
                if progress:
                    progress(number + 1, len(shards))
        taking_part = np.concatenate([*ratios, np.empty(0)])
        taking_part = taking_part[~np.isnan(taking_part)]
        low, high = -np.inf, np.inf
        if len(taking_part):
            ordered = np.sort(taking_part)
            # Of n documents the first ⌊n · lowest⌋ and the last ⌊n · highest⌋ go; ties stay.
            low = ordered[int(len(ordered) * self.lowest + 1e-9)]
            high = ordered[len(ordered) - 1 - int(len(ordered) * self.highest + 1e-9)]
        for ratio in ratios:
            yield self._decisions(ratio, low, high)

    def _decisions(self, ratio: NDArray[np.float64], low: float, high: float) -> pa.Table:
        # Comparisons with the NaN of those that take no part are false.
        much, little = ratio < low, ratio > high
        reasons = [
            "compresses too well" if a else "compresses too little" if b else None
            for a, b in zip(much, little, strict=True)
        ]
        columns: dict[str, Any] = {
            "keep": ~(much | little),
            "reason": pa.array(reasons, pa.large_string()),
        }
        if self.output:
            columns[self.output] = pa.array(ratio, from_pandas=True)
        return pa.table(columns)

    def _ratios(self, shard: Path, pool: ThreadPoolExecutor) -> NDArray[np.float64]:
        """[documents], NaN for those that take no part."""
        file = parquet.ParquetFile(shard)
        found, waiting = [], deque[Future[list[float]]]()
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=["text"]):
            waiting.append(pool.submit(self._of_batch, batch.column(0)))
            if len(waiting) > 2 * usable_cores():
                found.append(waiting.popleft().result())
        found.extend(future.result() for future in waiting)
        return np.array([ratio for batch in found for ratio in batch], np.float64)

    def _of_batch(self, texts: pa.Array) -> list[float]:
        return [self._ratio(text.as_py() or "") for text in texts]

    def _ratio(self, text: str) -> float:
        data = text.encode(errors="replace")
        if not data or len(data) < self.min_bytes:
            return float("nan")
        return len(zlib.compress(data, _LEVEL)) / len(data)
