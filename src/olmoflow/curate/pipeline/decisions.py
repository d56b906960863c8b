"""What a stage decided, applied to the shards: who stays, which columns are set."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.conversations.row import refuse_other_text
from olmoflow.curate.pipeline.account import Account, Measure, to_plain
from olmoflow.curate.pipeline.shards import ShardWriter, read_batches
from olmoflow.curate.schema import with_field
from olmoflow.errors import UserError

_ROWS = 1024


@dataclass(frozen=True)
class DecisionPass:
    """The settings of applying a stage's decisions.

    Attributes:
        label: The step.
        folder: Where shards and accounts go.
        decisions: The folder with one Parquet file a shard, in the order of the shards.
    """

    label: str
    folder: Path
    decisions: Path

    threads_up_to: ClassVar[int] = 1 << 30


class DecisionWorker:
    """Applies the decisions about one shard."""

    def __init__(self, spec: DecisionPass) -> None:
        self.spec = spec

    def work(self, unit: Mapping[str, Any]) -> dict[str, Any]:
        """Work on one unit: ``number``, ``shard`` and the folder ``root`` that it lies in."""
        name = Path(unit["shard"]).relative_to(unit["root"]).as_posix()
        account = Account(self.spec.label)
        writer = ShardWriter(self.spec.folder / name)
        for batch in decided_batches(self.spec, unit, account):
            writer.write(batch)
        writer.close()
        return {
            "shards": [name], "accounts": [to_plain(account)], "errors": 0, "first_error": "",
        }  # fmt: skip


def decided_batches(
    spec: DecisionPass, unit: Mapping[str, Any], account: Account
) -> Iterator[pa.Table]:
    """The batches of a shard as the stage left them, counted."""
    decided = _Decided(spec.decisions / f"{int(unit['number']):05d}.parquet")
    started = time.perf_counter()
    for batch in read_batches(Path(unit["shard"])):
        left = _apply(batch, decided.take(len(batch)), account)
        account.seconds += time.perf_counter() - started
        yield left
        started = time.perf_counter()


def write_decisions(tables: Iterable[pa.Table], shards: list[Path], folder: Path) -> None:
    """Write what a stage yields, checked against the shards.

    Raises:
        RuntimeError: The stage broke its contract.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for number, table in enumerate(tables, 1):
        if number > len(shards):
            break
        rows = parquet.read_metadata(shards[number - 1]).num_rows
        if len(table) != rows:
            raise RuntimeError(f"{shards[number - 1]}: {len(table)} decisions of {rows} documents")
        path = folder / f"{number - 1:05d}.parquet"
        parquet.write_table(table, path, row_group_size=_ROWS * 16, compression="zstd")
    if number != len(shards):
        raise RuntimeError(f"decisions about {number} shards of {len(shards)}")


class _Decided:
    """Reads decisions along with the batches that they are about."""

    def __init__(self, path: Path) -> None:
        self._batches: Iterator[pa.RecordBatch] = parquet.ParquetFile(path).iter_batches(_ROWS)
        self._held: pa.Table | None = None

    def take(self, rows: int) -> pa.Table:
        """The decisions about the next rows."""
        parts = [self._held] if self._held is not None else []
        count = sum(map(len, parts))
        while count < rows:
            batch = next(self._batches, None)
            if batch is None:
                raise UserError(
                    f"{count} decisions about {rows} documents: the stage's files differ"
                )
            parts.append(pa.table(batch))
            count += len(batch)
        whole = pa.concat_tables(parts)
        self._held = whole.slice(rows)
        return whole.slice(0, rows)


def _apply(batch: pa.Table, decided: pa.Table, account: Account) -> pa.Table:
    measure = Measure(batch)
    account.before.add(measure.amount())
    keep = np.asarray(decided.column("keep").fill_null(True).to_numpy(), np.bool_)
    after = batch
    for name in decided.column_names:
        if name not in ("keep", "reason"):
            after = with_field(after, name, decided.column(name).combine_chunks())
    refuse_other_text(account.label, batch, after)
    measure.follow(after, keep)
    account.after.add(measure.amount())
    if keep.all():
        return after
    reasons = decided.column("reason").cast(pa.large_string()).combine_chunks()
    account.removed(batch, ~keep, reasons)
    return after.filter(pa.array(keep))
