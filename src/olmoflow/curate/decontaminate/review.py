"""What a report of decontamination says on the whole: per evaluation set its matches and scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any

from olmoflow.errors import UserError


@dataclass
class SetReview:
    """The matches of an evaluation set.

    Attributes:
        key: The set and its split.
        matches: How many.
        documents: Different documents among them.
        questions: Different questions of the set among them.
        mean_score: Of the matches.
        perfect: Matches of score 1.
        scores: Matches by tenths of the score: [0.0, 0.1), …, [0.9, 1.0) and 1.0 itself.
        top: The matches of the highest scores, longest first among equals; a question once.
    """

    key: str
    matches: int = 0
    documents: int = 0
    questions: int = 0
    mean_score: float = 0.0
    perfect: int = 0
    scores: list[int] = field(default_factory=lambda: [0] * 11)
    top: list[dict[str, Any]] = field(default_factory=list)


def read_report(folder: Path) -> Iterator[dict[str, Any]]:
    """The matches of a report, in the order of its files.

    Raises:
        UserError: There is no report, or a line is no match.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise UserError(f"{folder}: no .jsonl file; expected a report of decontamination")
    for file in files:
        with file.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    match = json.loads(line)
                    match["eval_key"], match["contamination_score"]
                except (ValueError, KeyError, TypeError) as error:
                    raise UserError(f"{file}:{number}: {error}; expected a match") from error
                yield match


def review(
    matches: Iterable[dict[str, Any]], examples: int = 3, min_score: float = 0.0
) -> list[SetReview]:
    """Sum up matches.

    Args:
        matches: From `read_report`, also of decon's own reports.
        examples: How many to keep of each set.
        min_score: Lower scores are passed over.

    Returns:
        A review for each set, the one with the most matches first.
    """
    reviews: dict[str, SetReview] = {}
    documents: dict[str, set[tuple[str, int]]] = {}
    # By question: its score, its length, and its best match.
    tops: dict[str, dict[int, tuple[float, int, dict[str, Any]]]] = {}
    for match in matches:
        score = float(match["contamination_score"])
        if score < min_score:
            continue
        key = str(match["eval_key"])
        one = reviews.setdefault(key, SetReview(key))
        one.matches += 1
        one.mean_score += score
        one.perfect += score >= 1
        one.scores[min(10, int(score * 10))] += 1
        documents.setdefault(key, set()).add((match["training_file"], match["training_line"]))
        rank = (score, int(match.get("cluster_token_length", 0)), match)
        question = int(match.get("eval_instance_index", match.get("eval_line", 0)))
        known = tops.setdefault(key, {})
        if question not in known or rank[:2] > known[question][:2]:
            known[question] = rank
    for key, one in reviews.items():
        one.documents, one.questions = len(documents[key]), len(tops[key])
        one.mean_score /= one.matches
        one.top = _highest(tops[key], examples)
    return sorted(reviews.values(), key=lambda one: (-one.matches, one.key))


def _highest(
    by_question: dict[int, tuple[float, int, dict[str, Any]]], number: int
) -> list[dict[str, Any]]:
    heap: list[tuple[float, int, int]] = []
    for question, (score, length, _) in by_question.items():
        # Of equals the question with the lowest number.
        rank = (score, length, -question)
        if len(heap) < number:
            heappush(heap, rank)
        elif number:
            heappushpop(heap, rank)
    return [by_question[-question][2] for _, _, question in sorted(heap, reverse=True)]
