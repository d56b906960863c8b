"""How much of which source: caps on rows and shares, upsampling, and a size of the whole.

A mixture of a size is the beginning of one order of all rows, in which every beginning has the same
shares. So sizes are nested: the first 50,000 rows are among the 75,000, and a sweep over the size
compares more of the same with less of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from olmoflow.curate.hashes import hashes_of
from olmoflow.curate.partition.order import copies
from olmoflow.curate.partition.rearrangement import ShardSeries
from olmoflow.curate.partition.scatter import in_pieces
from olmoflow.curate.pipeline.account import Account, Measure
from olmoflow.curate.pipeline.shards import SHARD_BYTES, read_batches
from olmoflow.curate.schema import field
from olmoflow.curate.stage import Progress
from olmoflow.curate.strings import strings_of
from olmoflow.errors import UserError

_STEP = "mix_sources"
_ROUNDING = 1e-6


@dataclass(frozen=True)
class _Documents:
    """Every document: ``sources`` [n], its source's number, ``ranks`` [n], its place in it."""

    names: list[str]
    sources: NDArray[np.int64]
    ranks: NDArray[np.int64]


class MixSources:
    """Writes as much of each source as caps and a size of the whole allow.

    First each source is repeated as often as ``repeat`` says and cut to ``max_rows``; then those
    above their ``max_shares`` are cut to them; then all are cut in proportion to ``size``. Which
    rows of a source stay, ids and seed decide, whatever the size. Copies get ids of their own. Held
    in memory are 32 bytes a document.

    Args:
        size: Rows in all; None: as many as the caps leave. More than that is an error.
        max_shares: By source, the most of the whole that it may be: ``{wildchat: 0.35}``.
        max_rows: By source, the most rows.
        max_rows_each: The most rows of every other source; None: no limit.
        repeat: By source, how often its rows are taken, a fraction too: ``{math: 2.5}``; 0: never.
        by: The field that says what a document's source is.
        seed: Of the order.
        max_bytes: Of text in a shard.

    Attributes:
        figures: By source, rows ``found``, ``allowed`` by its own limits, and ``written``.
    """

    def __init__(
        self,
        size: int | None = None,
        max_shares: dict[str, float] | None = None,
        max_rows: dict[str, int] | None = None,
        max_rows_each: int | None = None,
        repeat: dict[str, float] | None = None,
        by: str = "source",
        seed: int = 0,
        max_bytes: int = SHARD_BYTES,
    ) -> None:
        self.size, self.by, self.seed, self.max_bytes = size, by, seed, max_bytes
        self.max_shares, self.max_rows = max_shares or {}, max_rows or {}
        self.max_rows_each, self.repeat = max_rows_each, repeat or {}
        limits = {"size": size, "max_rows_each": max_rows_each}
        limits |= {f"max_rows.{name}": rows for name, rows in self.max_rows.items()}
        for key, value in limits.items():
            if value is not None and value < 1:
                raise UserError(f"{_STEP}.{key}={value}: expected at least 1")
        for name, share in self.max_shares.items():
            if not 0 < share <= 1:
                raise UserError(f"{_STEP}.max_shares.{name}={share:g}: expected above 0, at most 1")
        for name, times in self.repeat.items():
            if not times >= 0:
                raise UserError(f"{_STEP}.repeat.{name}={times:g}: expected 0 or more")
        self.figures: dict[str, Any] = {}

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        documents = self._read(shards, progress)
        found = np.bincount(documents.sources, minlength=len(documents.names))
        allowed = self._allowed(documents.names, found)
        shares = self._capped(documents.names, allowed)
        taken = self._taken(shares)
        self.figures = {
            name: {"found": int(n), "allowed": int(a), "written": int(t)}
            for name, n, a, t in zip(documents.names, found, allowed, taken, strict=True)
        }
        # A source with less documents than rows goes through them again from the first.
        number, rows = found[documents.sources], taken[documents.sources]
        times = np.maximum(0, -(-(rows - documents.ranks) // np.maximum(number, 1)))
        reasons = self._reasons(documents, allowed)
        series, start = ShardSeries(output, self.max_bytes), 0
        for done, shard in enumerate(shards, 1):
            for batch in read_batches(shard):
                part = slice(start, start + len(batch))
                start += len(batch)
                account.before.add(Measure(batch).amount())
                account.removed(batch, times[part] == 0, reasons.slice(part.start, len(batch)))
                left = times[part]
                for piece in in_pieces(batch, 256):
                    written = copies(piece, left[: len(piece)])
                    left = left[len(piece) :]
                    account.after.add(Measure(written).amount())
                    series.write(written)
            progress(len(shards) + done, 2 * len(shards))
        series.close()

    def _read(self, shards: Sequence[Path], progress: Progress) -> _Documents:
        names: dict[str, int] = {}
        sources, hashes = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for done, shard in enumerate(shards, 1):
            file = parquet.ParquetFile(shard)
            column = self.by if self.by in file.schema_arrow.names else self.by.partition(".")[0]
            columns = sorted({"id", column} & set(file.schema_arrow.names))
            for each in file.iter_batches(columns=columns):
                batch = pa.table(each)
                values = map(str, field(batch, self.by).fill_null("").to_pylist())
                sources.append(np.array([names.setdefault(v, len(names)) for v in values]))
                hashes.append(hashes_of(strings_of(batch.column("id")), self.seed))
            progress(done, 2 * len(shards))
        for key in ("max_shares", "max_rows", "repeat"):
            for name in getattr(self, key):
                if name not in names:
                    known = ", ".join(sorted(names)[:20])
                    raise UserError(f"{_STEP}.{key}.{name}: no such {self.by}; found {known}")
        return _ranked(list(names), np.concatenate(sources), np.concatenate(hashes))

    def _allowed(self, names: list[str], found: NDArray[np.int64]) -> NDArray[np.int64]:
        """[sources], rows that each one's own limits leave."""
        times = np.array([self.repeat.get(name, 1.0) for name in names])
        most = self.max_rows_each if self.max_rows_each is not None else np.iinfo(np.int64).max
        limits = np.array([self.max_rows.get(name, most) for name in names], np.int64)
        repeated = np.floor(found * times + _ROUNDING).astype(np.int64)
        return np.asarray(np.minimum(repeated, limits))

    def _capped(self, names: list[str], allowed: NDArray[np.int64]) -> NDArray[np.float64]:
        """[sources], rows within the caps on shares; fractions, for they are shares as well."""
        caps = np.array([self.max_shares.get(name, 1.0) for name in names])
        # The largest whole of which each source is what it has, or what its cap allows: every round
        # cuts the whole, and with it what the caps allow.
        rows, total = allowed.astype(np.float64), 0.0
        while (now := float(rows.sum())) != total and now >= 1:
            rows, total = np.minimum(rows, caps * now), now
        if now < 1:
            raise UserError(
                f"{_STEP}.max_shares: the shares of {', '.join(names)} sum to {caps.sum():g}; "
                "expected 1 or more, or another source"
            )
        return rows

    def _taken(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """[sources], rows that are written: the first ``size`` of an order in which all are mixed.

        Row v of a source that has n is at (v + 1) / n of the way, so a beginning has no more of a
        source than its share.
        """
        whole = np.floor(rows + _ROUNDING).astype(np.int64)
        if self.size is None:
            return whole
        if self.size > whole.sum():
            raise UserError(
                f"{_STEP}.size={self.size}: expected at most {whole.sum()}, which the limits leave"
            )
        places = [np.arange(1, n + 1) / r for n, r in zip(whole, rows, strict=True) if n]
        owners = np.repeat(np.arange(len(rows)), whole)
        order = np.argsort(np.concatenate(places), kind="stable")
        return np.bincount(owners[order[: self.size]], minlength=len(rows))

    def _reasons(self, documents: _Documents, allowed: NDArray[np.int64]) -> pa.Array:
        """[documents], why one goes if it does: its source's own limits, or shares and size."""
        own = documents.ranks >= allowed[documents.sources]
        kinds = np.where(own, "beyond its source's rows", "beyond its source's share of the size")
        return pa.array(kinds.tolist(), pa.large_string())


def _ranked(names: list[str], sources: NDArray[np.int64], hashes: NDArray[np.uint64]) -> _Documents:
    """Sources in the order of their names, and the documents of each in that of their hashes."""
    order = sorted(range(len(names)), key=names.__getitem__)
    numbers = np.empty(len(names), np.int64)
    numbers[order] = np.arange(len(names))
    sources = numbers[sources]
    by_hash = np.lexsort((hashes, sources))
    starts = np.searchsorted(sources[by_hash], np.arange(len(names)))
    ranks = np.empty(len(sources), np.int64)
    ranks[by_hash] = np.arange(len(sources)) - starts[sources[by_hash]]
    return _Documents([names[k] for k in order], sources, ranks)
