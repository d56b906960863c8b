"""The corpus divided into parts, each in a folder of its own: by a field, by ranges, by groups."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from olmoflow.curate.partition.keys import group_hashes, numbers_of, strings_of_field
from olmoflow.curate.partition.rearrangement import ShardSeries, counted
from olmoflow.curate.partition.scatter import MAX_FILES, Scatter, common_schema
from olmoflow.curate.pipeline.account import Account
from olmoflow.curate.pipeline.shards import SHARD_BYTES
from olmoflow.curate.stage import Progress
from olmoflow.errors import UserError

NO_CATEGORY = "no_category"


class DiscretePartition:
    """One folder for each value of a field, in ``train`` and ``heldout`` alike.

    Args:
        partition_key: The field.
        choices: Values that get a folder; None: all. Others go to ``no_category``, as documents
            without a value do.
        max_file_size: Bytes of text in a shard, about.
    """

    def __init__(
        self,
        partition_key: str,
        choices: list[str] | None = None,
        max_file_size: int = SHARD_BYTES,
    ) -> None:
        self.partition_key, self.choices = partition_key, choices
        self.max_file_size = max_file_size

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        places: dict[str, int] = {NO_CATEGORY: 0}
        scatter = Scatter(scratch, common_schema(shards))
        for batch in counted(shards, account, progress, 2):
            names = [self._folder(v) for v in strings_of_field(batch, self.partition_key)]
            for name in names:
                places.setdefault(name, len(places))
            if len(places) > MAX_FILES:
                raise UserError(
                    f"discrete_partition.partition_key={self.partition_key}: more than "
                    f"{MAX_FILES - 1} values; expected a field of few values"
                )
            scatter.write(batch, np.array([places[name] for name in names], np.int64))
        names = list(places)
        _write(scatter, {n: names[n] for n in scatter.numbers()}, output, self.max_file_size)
        progress(1, 1)

    def _folder(self, value: str | None) -> str:
        if value is None or (self.choices is not None and value not in self.choices):
            return NO_CATEGORY
        return re.sub(r"[^\w.-]+", "_", value).lstrip(".") or NO_CATEGORY


class RangePartition:
    """One folder for each range of a number: ``bucket_0000`` below the first cut, and so on.

    Args:
        value: The field.
        range_groups: The cuts, rising; a document at a cut is above it.
        reservoir_path: Instead of cuts a file of `Reservoir`, or of datamap-rs: the cuts are its
            quantiles.
        num_buckets: How many quantiles.
        default_value: The number of a document that has none.
        max_file_size: Bytes of text in a shard, about.
        bucket_name: How the folders' names begin.
    """

    def __init__(
        self,
        value: str,
        range_groups: list[float] | None = None,
        reservoir_path: str | None = None,
        num_buckets: int | None = None,
        default_value: float = 0.0,
        max_file_size: int = SHARD_BYTES,
        bucket_name: str = "bucket",
    ) -> None:
        if (range_groups is None) == (reservoir_path is None):
            raise UserError("range_partition: expected either range_groups or reservoir_path")
        self.value, self.default_value = value, default_value
        self.max_file_size, self.bucket_name = max_file_size, bucket_name
        if range_groups is not None:
            self.cuts = np.asarray(range_groups, np.float64)
        else:
            assert reservoir_path is not None
            self.cuts = quantile_cuts(Path(reservoir_path), num_buckets)
        if not len(self.cuts) or (np.diff(self.cuts) <= 0).any():
            shown = ", ".join(f"{cut:g}" for cut in self.cuts)
            raise UserError(f"range_partition.range_groups=[{shown}]: expected rising numbers")

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        scatter = Scatter(scratch, common_schema(shards))
        for batch in counted(shards, account, progress, 2):
            values = numbers_of(batch, self.value, "range_partition.value")
            values = np.where(np.isnan(values), self.default_value, values)
            scatter.write(batch, np.searchsorted(self.cuts, values, side="right"))
        names = {n: f"{self.bucket_name}_{n:04d}" for n in scatter.numbers()}
        _write(scatter, names, output, self.max_file_size)
        progress(1, 1)


class Group:
    """Puts documents that agree in some fields into the same folder, of a fixed number of folders.

    Args:
        group_keys: The fields. A document that lacks one of them goes to the folder of its id.
        num_buckets: How many folders.
        max_file_size: Bytes of text in a shard, about.
    """

    def __init__(
        self, group_keys: list[str], num_buckets: int = 64, max_file_size: int = SHARD_BYTES
    ) -> None:
        if not 1 <= num_buckets <= MAX_FILES:
            raise UserError(f"group.num_buckets={num_buckets}: expected 1 to {MAX_FILES}")
        self.group_keys, self.num_buckets = group_keys, num_buckets
        self.max_file_size = max_file_size

    def rearrange(
        self,
        shards: Sequence[Path],
        output: Path,
        scratch: Path,
        account: Account,
        progress: Progress,
    ) -> None:
        """See `Rearrangement`."""
        scatter = Scatter(scratch, common_schema(shards))
        for batch in counted(shards, account, progress, 2):
            hashes, _ = group_hashes(batch, self.group_keys)
            scatter.write(batch, (hashes % np.uint64(self.num_buckets)).astype(np.int64))
        names = {n: f"chunk_{n:08d}" for n in scatter.numbers()}
        _write(scatter, names, output, self.max_file_size)
        progress(1, 1)


def quantile_cuts(path: Path, num_buckets: int | None) -> NDArray[np.float64]:
    """Cuts that divide a reservoir into buckets of equal weight.

    Args:
        path: A JSON list of numbers, or of ``{"percentile", "value"}``.
        num_buckets: How many buckets.

    Raises:
        UserError: The file is no such list, or the number is missing.
    """
    if num_buckets is None or num_buckets < 2:
        raise UserError(f"range_partition.num_buckets={num_buckets}: expected at least 2")
    try:
        values: Any = json.loads(path.read_text())
        found = [v["value"] if isinstance(v, dict) else v for v in values]
        numbers = np.sort(np.asarray(found, np.float64))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"range_partition.reservoir_path={path}: {error}") from error
    if not len(numbers):
        raise UserError(f"range_partition.reservoir_path={path}: an empty list")
    places = np.arange(1, num_buckets) * len(numbers) // num_buckets
    return np.unique(numbers[places])


def _write(scatter: Scatter, names: dict[int, str], output: Path, max_bytes: int) -> None:
    scatter.close()
    for number, name in names.items():
        series = ShardSeries(output / name, max_bytes)
        for batch in scatter.batches(number):
            series.write(batch)
        series.close()
        scatter.remove(number)
