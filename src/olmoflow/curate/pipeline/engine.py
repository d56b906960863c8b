"""A pipeline from its sources to a corpus: pass after pass, resumed at the last finished one."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from olmoflow.curate.pipeline.account import Account, from_plain, to_plain
from olmoflow.curate.pipeline.decisions import DecisionPass, DecisionWorker, write_decisions
from olmoflow.curate.pipeline.map_pass import READ, MapPass, MapWorker
from olmoflow.curate.pipeline.output import WRITTEN, OutputPass, OutputWorker
from olmoflow.curate.pipeline.plan import Pass, Step, check_values, identity, passes_of
from olmoflow.curate.pipeline.unique_ids import UniqueIds, hashes_in
from olmoflow.curate.pipeline.work_folder import PassResult, WorkFolder, gathered
from olmoflow.curate.pipeline.workers import (
    DISK_ERRORS,
    Runner,
    Spec,
    disk_error,
    run_units,
    start_runner,
)
from olmoflow.curate.sources.reading import Reading, SourceUnit, source_units
from olmoflow.digests import write_json
from olmoflow.errors import UserError

# What each step counted, in the corpus's folder; with it the work is finished.
STEPS = "steps.json"
_OURS = ("train", "heldout", "errors")
Progress = Callable[[str, int, int], None]
# Documents over which a rate is judged before the end, as `Intake` does.
_ENOUGH = 10_000
# What one token takes: Ai2 counts 8.14T tokens in the 36.5 TB of text of Dolma 3's pool.
BYTES_PER_TOKEN = 4.48


@dataclass(frozen=True)
class Pipeline:
    """What is to be done.

    Attributes:
        steps: Checked, from `plan.steps_of`.
        sources: Paths, URLs and datasets of the Hub, see `sources.location`.
        reading: How they are read.
        heldout_fraction: Of the documents, by the hash of their text.
        seed: Of that split.
        max_error_rate: Share of documents with errors above which the work stops.
        bytes_per_token: By which tokens are estimated.
    """

    steps: tuple[Step, ...]
    sources: tuple[str, ...]
    reading: Reading = field(default_factory=Reading)
    heldout_fraction: float = 0.02
    seed: int = 0
    max_error_rate: float = 0.001
    bytes_per_token: float = BYTES_PER_TOKEN

    def __post_init__(self) -> None:
        if not 0 <= self.heldout_fraction < 1:
            raise UserError(
                f"pipeline.heldout_fraction={self.heldout_fraction:g}: expected 0 or more, below 1"
            )
        if not 0 <= self.max_error_rate <= 1:
            raise UserError(
                f"pipeline.max_error_rate={self.max_error_rate:g}: expected between 0 and 1"
            )
        if not self.bytes_per_token > 0:
            raise UserError(f"pipeline.bytes_per_token={self.bytes_per_token:g}: expected above 0")


@dataclass
class CurationResult:
    """What came of a pipeline.

    Attributes:
        accounts: One a step, the reading of the sources first.
        documents: Written, by split.
        bytes: Of text, written, by split.
        errors: Documents that could not be worked on.
        duplicate_ids: Documents that got another id, because theirs was taken.
        read: What the sources held: ``sources`` (bytes by source), ``sizes``, ``scores``.
        written: The same of the corpus.
        figures: By step, what a stage says of itself.
        seconds: Of this run.
    """

    accounts: list[Account]
    documents: dict[str, int]
    bytes: dict[str, int]
    errors: int
    duplicate_ids: int
    read: dict[str, Any]
    written: dict[str, Any]
    figures: dict[str, Any]
    seconds: float


def run_pipeline(
    pipeline: Pipeline,
    corpus: Path,
    *,
    runner: Runner = "native",
    workers: int | None = None,
    address: str | None = None,
    progress: Progress | None = None,
) -> CurationResult:
    """Run a pipeline, or go on where it was left.

    Args:
        pipeline: What is to be done.
        corpus: The folder to be filled with ``train``, ``heldout`` and ``errors``; unfinished work
            lies in its folder ``work``.
        runner: Where the work is done.
        workers: Processes at a time; None: one a core.
        address: Of a Ray cluster.
        progress: Called with (what, done, all).

    Raises:
        UserError: A mistake in the input, or a disk that is full.
    """
    try:
        return _Run(pipeline, corpus, runner, workers, progress).all(address)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(disk_error(error, corpus)) from error


class _Run:
    def __init__(
        self,
        pipeline: Pipeline,
        corpus: Path,
        runner: Runner,
        workers: int | None,
        progress: Progress | None,
    ) -> None:
        self.pipeline, self.corpus, self.runner = pipeline, corpus, runner
        self.workers = workers
        self.progress = progress or (lambda what, done, total: None)
        self.started = time.monotonic()
        self.accounts: list[Account] = []
        self.figures: dict[str, Any] = {}
        self.errors = 0
        self.read: dict[str, Any] = {}
        self.scores: dict[str, list[int]] = {}
        self.duplicate_ids = 0

    def all(self, address: str | None) -> CurationResult:
        pipeline = self.pipeline
        units = source_units(pipeline.sources, pipeline.reading)
        check_values(pipeline.steps)
        plan = identity([asdict(pipeline), [asdict(u) for u in units]])
        if (done := _finished(self.corpus, plan)) is not None:
            return done
        self.work = WorkFolder(self.corpus / "work", plan)
        if not self.work.resumed:
            # An earlier pipeline may have ended halfway in the same folder.
            for name in _OURS:
                shutil.rmtree(self.corpus / name, ignore_errors=True)
        cores = start_runner(self.runner, address)
        self.workers = self.workers or cores
        result: PassResult | None = None
        passes = passes_of(pipeline.steps)
        for each in passes:
            result = self._pass(each, units, result, last=each is passes[-1])
            if each.number == 0:
                result = self._unique(result)
        assert result is not None
        written = self._write(result)
        found = CurationResult(
            self.accounts, written["documents"], written["bytes"], self.errors,
            self.duplicate_ids, {**self.read, "scores": self.scores}, written, self.figures,
            time.monotonic() - self.started,
        )  # fmt: skip
        plain = {**vars(found), "accounts": [to_plain(a) for a in found.accounts]}
        write_json(self.corpus / STEPS, {"plan": plan, "result": plain})
        self.work.remove()
        return found

    def _pass(
        self, each: Pass, units: Sequence[SourceUnit], before: PassResult | None, *, last: bool
    ) -> PassResult:
        result = self.work.finished(each.name)
        if result is None:
            folder = self.work.folder(each.name)
            if each.kind == "map":
                result = self._map(each, folder, units, before)
            elif each.kind == "stage":
                assert before is not None
                step = each.steps[0]
                result = self._stage(step.label, step.build(), folder, before, last=last)
            else:
                assert before is not None
                result = self._rearrange(each.steps[0], folder, before)
            self._keep_errors(each.name, folder)
            self._judge_result(result)
            self.work.finish(result)
        if before is not None:
            self.work.forget(before)
        self._count(each, result)
        return result

    def _count(self, each: Pass, result: PassResult) -> None:
        self.accounts += result.accounts
        self.errors += result.errors
        if each.number == 0:
            self.read = result.extra
        for name, counts in result.extra.get("scores", {}).items():
            self.scores.setdefault(name, counts)
        if result.figures:
            self.figures[each.steps[0].label] = result.figures
        last = result.accounts[-1]
        if not last.after.documents:
            emptied = next((a for a in result.accounts if not a.after.documents), last)
            if emptied.label == READ:
                where = ", ".join(self.pipeline.sources)
                raise UserError(f"{where}: the corpus is empty; expected at least one document")
            raise UserError(
                f"{emptied.label}: removed all {emptied.before.documents:,} documents that came "
                "to it; expected some to stay"
            )

    def _map(
        self,
        each: Pass,
        folder: Path,
        units: Sequence[SourceUnit],
        before: PassResult | None,
    ) -> PassResult:
        reading = self.pipeline.reading if before is None else None
        spec = MapPass(each.steps, folder, reading)
        if before is None:
            payloads = [{"number": n, "bytes": u.bytes, **asdict(u)} for n, u in enumerate(units)]
            what = " → ".join([READ, *(s.label for s in each.steps[-1:])])
        else:
            payloads = _shard_units(before)
            what = each.steps[-1].label
        self._units(MapWorker, spec, payloads, what)
        return gathered(folder, payloads)

    def _stage(
        self, label: str, stage: Any, folder: Path, before: PassResult, *, last: bool = False
    ) -> PassResult:
        """Let a stage decide, and apply what it decided; of the last one the corpus is written."""
        decisions, decided = folder / "decisions", folder / "decided.json"
        started = time.perf_counter()
        if not decided.is_file():
            shutil.rmtree(decisions, ignore_errors=True)
            scratch = folder / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            found = stage.decide(before.shards, scratch, lambda d, t: self.progress(label, d, t))
            write_decisions(found, before.shards, decisions)
            shutil.rmtree(scratch)
            figures = {**getattr(stage, "figures", {})}
            seconds = time.perf_counter() - started
            write_json(decided, {"figures": figures, "seconds": seconds})
        payloads = _shard_units(before)
        spec = DecisionPass(label, folder, decisions)
        if last:
            self._units(OutputWorker, self._output(folder, spec), payloads, label)
        else:
            self._units(DecisionWorker, spec, payloads, label)
        result = gathered(folder, payloads)
        about = json.loads(decided.read_text())
        result.figures = about["figures"]
        result.accounts[0].seconds += about["seconds"]
        shutil.rmtree(decisions, ignore_errors=True)
        return result

    def _rearrange(self, step: Step, folder: Path, before: PassResult) -> PassResult:
        """Let a step write the documents into other shards."""
        started = time.perf_counter()
        scratch, output = folder / "scratch", folder / "shards"
        for each in (scratch, output):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        stage = step.build()
        account = Account(step.label)
        stage.rearrange(
            before.shards, output, scratch, account, lambda d, t: self.progress(step.label, d, t)
        )
        shutil.rmtree(scratch)
        account.seconds = time.perf_counter() - started
        shards = sorted(output.rglob("*.parquet"))
        return PassResult(folder, shards, [account], figures={**getattr(stage, "figures", {})})

    def _unique(self, first: PassResult) -> PassResult:
        """Make ids unique, where a source has one twice."""
        name = "00-unique-ids"
        result = self.work.finished(name)
        if result is None:
            stage = UniqueIds(hashes_in(first.folder))
            if not len(stage.repeated):
                return first
            result = self._stage("unique ids", stage, self.work.folder(name), first)
            self.work.finish(result)
        self.work.forget(first)
        self.duplicate_ids = int(result.figures["renamed"])
        return result

    def _output(self, folder: Path, decided: DecisionPass | None = None) -> OutputPass:
        fraction, seed = self.pipeline.heldout_fraction, self.pipeline.seed
        return OutputPass(folder, self.corpus, fraction, seed, decided)

    def _write(self, result: PassResult) -> dict[str, Any]:
        written = result.extra.get(WRITTEN)  # by the last stage, if it came last
        if written is None:
            folder = self.work.folder("output")
            payloads = _shard_units(result)
            self._units(OutputWorker, self._output(folder), payloads, "write")
            written = gathered(folder, payloads).extra[WRITTEN]
        for name in _OURS:
            for partial in (self.corpus / name).rglob(".*"):
                partial.unlink()  # of a process that was killed
        if not written["documents"].get("train"):
            raise UserError(
                f"all {written['documents'].get('heldout', 0)} documents are held out; expected "
                f"more, or less than heldout_fraction={self.pipeline.heldout_fraction:g}"
            )
        return dict(written)

    def _units(self, worker: type, spec: Spec, units: Sequence[dict[str, Any]], what: str) -> None:
        done, documents, errors = 0, 0, 0
        self.progress(what, 0, len(units))
        try:
            for number in run_units(worker, spec, units, self.workers or 1, self.runner):
                done += 1
                self.progress(what, done, len(units))
                if isinstance(spec, MapPass):
                    part = gathered(spec.folder, [u for u in units if u["number"] == number])
                    documents += _documents(part)
                    errors += part.errors
                    if errors > self.pipeline.max_error_rate * _ENOUGH:
                        self._judge(part.first_error, errors, documents)
        except UserError:
            self._keep_errors(spec.folder.name, spec.folder)
            raise

    def _judge_result(self, result: PassResult) -> None:
        self._judge(result.first_error, result.errors, _documents(result))

    def _judge(self, first: str, errors: int, documents: int) -> None:
        if errors and errors > self.pipeline.max_error_rate * documents:
            raise UserError(
                f"{first}; {errors} of {documents} documents are malformed, more than "
                f"max_error_rate={self.pipeline.max_error_rate:g} allows"
            )

    def _keep_errors(self, name: str, folder: Path) -> None:
        """Leave the errors of a pass in the corpus's folder."""
        files = sorted(folder.glob("*.errors.jsonl"))
        if not files:
            return
        target = self.corpus / "errors" / f"{name}.jsonl"
        target.parent.mkdir(exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        with partial.open("wb") as whole:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, whole)
        partial.replace(target)


def _finished(corpus: Path, plan: str) -> CurationResult | None:
    """What an earlier run of this pipeline left, if it came to its end."""
    file = corpus / STEPS
    if not file.is_file() or (corpus / "work").exists():
        return None
    held: dict[str, Any] = json.loads(file.read_text())
    if held["plan"] != plan:
        return None
    accounts = [from_plain(a) for a in held["result"]["accounts"]]
    return CurationResult(**{**held["result"], "accounts": accounts})


def _documents(result: PassResult) -> int:
    """What came into a pass, malformed documents among it."""
    if not result.accounts:
        return 0
    first = result.accounts[0]
    return first.before.documents + (first.errors if first.label == READ else 0)


def _shard_units(result: PassResult) -> list[dict[str, Any]]:
    root = result.folder if not (result.folder / "shards").is_dir() else result.folder / "shards"
    return [
        {
            "number": number,
            "shard": str(shard),
            "root": str(root),
            "bytes": shard.stat().st_size,
        }
        for number, shard in enumerate(result.shards)
    ]
