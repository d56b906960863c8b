"""Documents looked up in an index of reference sets, and what a report says of each match."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from olmoflow.curate.decontaminate import kernels
from olmoflow.curate.decontaminate.index import Index, Parts
from olmoflow.curate.decontaminate.kernels import Floats, find_matches
from olmoflow.curate.decontaminate.score import required
from olmoflow.curate.strings import strings_of

# Tokens of the document shown before the first and behind the last part of a match.
_BEFORE, _BEHIND = 30, 60
_SHOWN_WORDS = 1000


def detect(
    index: Index, documents: pa.Table, training_file: str = "", first_line: int = 0
) -> list[dict[str, Any]]:
    """The matches of documents with reference sets.

    Args:
        index: From `index.build_index`.
        documents: A table with the columns ``id`` and ``text``.
        training_file: Where the documents stand, for the report.
        first_line: Number of the first document there.

    Returns:
        An entry for each match, with the keys of decon's reports and ``training_id``; the documents
        in order. A question is reported once for each place in a document, with the choice that
        scores highest.
    """
    column = documents.column("text")
    tokens, offsets = index.tokenizer.encode(strings_of(column))
    rows = find_matches(
        tokens, offsets, index.questions, index.answers, index.passages, index.settings.limits
    )
    highest: dict[tuple[int, str, int, int], Floats] = {}
    for row in rows:
        reference = index.references[int(row[kernels.ENTRY])]
        place = int(row[kernels.DOCUMENT]), int(row[kernels.START])
        before = highest.setdefault((place[0], reference.key, reference.instance, place[1]), row)
        if row[kernels.SCORE] > before[kernels.SCORE]:
            highest[place[0], reference.key, reference.instance, place[1]] = row
    found: list[dict[str, Any]] = []
    ids = documents.column("id")
    shown, pieces = -1, [""]
    for (document, *_), row in highest.items():
        text = tokens[offsets[document] : offsets[document + 1]]
        where = {
            "training_file": training_file,
            "training_line": first_line + document,
            "training_id": str(ids[document]),
        }
        if document != shown:
            shown, pieces = document, index.tokenizer.pieces(str(column[document]))
        found.append(where | _Match(index, row, text.tolist(), pieces).report())
    return found


def best(found: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The match with the highest score, by ``training_line``; the first of equals."""
    by_line: dict[int, dict[str, Any]] = {}
    for match in found:
        line = match["training_line"]
        if (
            line not in by_line
            or match["contamination_score"] > by_line[line]["contamination_score"]
        ):
            by_line[line] = match
    return by_line


class _Match:
    """A match, looked at once more for what people want to know of it. Matches are few."""

    def __init__(self, index: Index, row: Floats, tokens: list[int], pieces: list[str]) -> None:
        self.index, self.row, self.tokens, self.pieces = index, row, tokens, pieces
        self.entry = int(row[kernels.ENTRY])
        self.settings = index.settings

    def report(self) -> dict[str, Any]:
        """The entry of the report; a key is left out where there is nothing to say."""
        row, settings = self.row, self.settings
        reference = self.index.references[self.entry]
        length = int(self.index.questions.tokens[self.entry])
        start = int(row[kernels.START])
        end = int(row[kernels.LAST]) + settings.ngram_size - 1
        cluster = end - start + 1
        answers = self._answer_ranges(end - max(0, cluster - length) + 1)
        if answers and answers[0][0] <= end and cluster > length:
            end = answers[0][0] - 1
        passage = _range(row)
        limits = settings.limits
        shown = {
            "eval_question_text": reference.question,
            "eval_overlap_text": reference.question,
            "eval_answer_text": reference.answer if row[kernels.ANSWER] >= 0 else "",
            "eval_passage_text": reference.passage if row[kernels.PASSAGE] >= 0 else "",
        }
        found: dict[str, Any] = {
            "eval_dataset": reference.dataset,
            "eval_key": reference.key,
            "eval_line": reference.line,
            "eval_instance_index": reference.instance,
            "ngram_match_cnt": int(row[kernels.NGRAMS]),
            "eval_unique_ngrams": int(self.index.questions.ngrams[self.entry]),
            "contamination_score": float(row[kernels.SCORE]),
            "length_adjusted_question_threshold": required(
                length,
                limits.perfect_match_decay_start,
                limits.perfect_match_decay_end,
                limits.min_question,
            ),
            "method": "simple",
            "idf_overlap": float(row[kernels.QUESTION]),
            "question_start_idx": start,
            "question_end_idx": end,
            "training_overlap_text": self._overlap_text((start, end), answers, passage),
            **{key: self._cleaned(value) for key, value in shown.items() if value},
            **self._part("answer", row[kernels.ANSWER], answers, self.index.answers),
            **self._part("passage", row[kernels.PASSAGE], passage, self.index.passages),
            "cluster_token_length": cluster,
            "eval_token_length": length,
            "token_length_delta": cluster - length,
            "reference_file": reference.file,
        }
        if answers:
            found["answer_boundaries"] = answers
        if reference.is_correct is not None:
            found["is_correct"] = reference.is_correct
        for name in ("fingerprint", "split"):
            if getattr(reference, name):
                found[name] = getattr(reference, name)
        return found

    def _part(
        self, name: str, overlap: float, ranges: list[tuple[int, int]], parts: Parts
    ) -> dict[str, Any]:
        """What is said of an answer or a passage."""
        if overlap < 0:
            return {}
        place = parts.token_starts[self.entry : self.entry + 2]
        wanted = set(parts.tokens[place[0] : place[1]].tolist())
        there = {token for first, last in ranges for token in self.tokens[first : last + 1]}
        found: dict[str, Any] = {
            f"{name}_overlap_ratio": len(wanted & there) / len(wanted),
            f"{name}_idf_overlap": float(overlap),
        }
        if name == "answer" and ranges:
            found |= {"answer_start_idx": ranges[0][0], "answer_end_idx": ranges[-1][1]}
        return found

    def _answer_ranges(self, start: int) -> list[tuple[int, int]]:
        """Where the answer stands behind the question: first and last tokens of its pieces."""
        parts, settings = self.index.answers, self.settings
        place = parts.token_starts[self.entry : self.entry + 2]
        wanted = parts.tokens[place[0] : place[1]].tolist()
        if not wanted or self.row[kernels.ANSWER] <= 0:
            return []
        size = settings.answer_ngram_size
        window = max(2 * len(wanted), settings.min_long_answer_window)
        if len(wanted) <= settings.short_answer_token_threshold:
            size, window = len(wanted), settings.short_answer_window_length + len(wanted) - 1
        ngrams = {tuple(wanted[i : i + size]) for i in range(len(wanted) - size + 1)}
        ranges: list[tuple[int, int]] = []
        stop = min(start + window, len(self.tokens))
        for i in range(start, stop - size + 1):
            if tuple(self.tokens[i : i + size]) not in ngrams:
                continue
            if ranges and i <= ranges[-1][1] + size:
                ranges[-1] = (ranges[-1][0], i + size - 1)
            else:
                ranges.append((i, i + size - 1))
            if size == len(wanted):  # there as a whole: the first is enough
                break
        return ranges

    def _overlap_text(
        self,
        question: tuple[int, int],
        answers: list[tuple[int, int]],
        passage: list[tuple[int, int]],
    ) -> str:
        """The document around the match, its parts in brackets: 【question】 ⟦answer⟧ ⟨passage⟩."""
        pieces = self.pieces.copy()
        for ranges, marks in (([question], "【】"), (answers, "⟦⟧"), (passage, "⟨⟩")):
            for first, last in ranges:
                pieces[first] = f" {marks[0]}{pieces[first].lstrip()}"
                pieces[last] += marks[1]
        places = [place for one in ([question], answers, passage) for pair in one for place in pair]
        first, end = max(0, min(places) - _BEFORE), max(places) + 1 + _BEHIND
        before = "… " if first else ""
        behind = " …" if end < len(pieces) else ""
        return before + "".join(pieces[first:end]).strip() + behind

    def _cleaned(self, text: str) -> str:
        """The beginning of a text as it was compared."""
        pieces = self.index.tokenizer.pieces(text)
        return " ".join("".join(pieces).split()[:_SHOWN_WORDS])


def _range(row: Floats) -> list[tuple[int, int]]:
    start, end = int(row[kernels.PASSAGE_START]), int(row[kernels.PASSAGE_END])
    return [(start, end)] if start >= 0 else []


def keep_and_reasons(
    rows: int, found: Iterable[dict[str, Any]], first_line: int = 0
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], list[str | None]]:
    """Which documents stay; and for the others ``eval_dataset:eval_key`` of their best match."""
    keep = np.ones(rows, bool)
    reasons: list[str | None] = [None] * rows
    for line, match in best(found).items():
        keep[line - first_line] = False
        reasons[line - first_line] = f"{match['eval_dataset']}:{match['eval_key']}"
    return keep, reasons
