"""Conversations whose answers a program can check: puzzles of reasoning-gym, asked and answered.

A row is a conversation (``messages``, ``source``) with its ``verifier`` and ``reference``, from
which the verifier scores any other answer as well. Questions that are held out for evaluation are
made again and left out, and so is a question that came before: kinds with few puzzles repeat some
however far their seeds are apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import zstandard

from olmoflow.errors import UserError
from olmoflow.puzzles import Puzzle, find_form, make_puzzles, question_key, question_of

Settings = Mapping[str, Any]
VERIFIER = "reasoning_gym"


@dataclass(frozen=True)
class Stretch:
    """Puzzles by their numbers.

    Attributes:
        seed: The first.
        size: How many, of each kind.
    """

    seed: int
    size: int

    def overlaps(self, other: Stretch) -> bool:
        """Whether some numbers are in both."""
        return self.seed < other.seed + other.size and other.seed < self.seed + self.size


@dataclass
class ConversationStatistics:
    """What was written and what was left out.

    Attributes:
        written: How many.
        sources: By kind of puzzle.
        held_out: By kind, those that are questions of an evaluation.
        repeated: By kind, those whose question came before.
        unanswered: By kind, those that have no answer of their own.
    """

    written: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    held_out: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)


def write_verifiable_conversations(
    output: Path,
    kinds: Mapping[str, Settings | None],
    stretch: Stretch,
    *,
    held_out: Sequence[Stretch] = (),
    form: str = "reasoned",
) -> ConversationStatistics:
    """Write ``OUTPUT/train``.

    Args:
        output: The corpus folder.
        kinds: reasoning-gym's names, each with its settings.
        stretch: Which puzzles of each kind.
        held_out: Stretches whose questions are left out, those of evaluations first of all.
        form: How the answer is asked for and given (`puzzles.FORMS`).

    Raises:
        UserError: A number or a name is wrong, stretches overlap, or nothing is left.
    """
    _check(kinds, stretch, held_out)
    found = ConversationStatistics()
    form_ = find_form(form, "pipeline.form")
    with ExitStack() as stack:
        file = stack.enter_context(_open(output))
        seen = {name: set[str]() for name in kinds}
        asked = {name: _questions(name, held_out, kinds[name]) for name in kinds}
        for name, number, puzzle in _in_turn(kinds, stretch):
            reason = _reason(puzzle, asked[name], seen[name])
            if reason is not None:
                counted: dict[str, int] = getattr(found, reason)
                counted[name] = counted.get(name, 0) + 1
                continue
            question, answer = question_of(puzzle), str(puzzle["answer"])
            row = {
                "id": f"{name}/{number}",
                "messages": [
                    {"role": "user", "content": form_.prompt.format(question=question)},
                    {"role": "assistant", "content": form_.reply.format(answer=answer)},
                ],
                "source": name,
                "verifier": VERIFIER,
                "reference": puzzle,
            }
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            found.written += 1
            found.sources[name] = found.sources.get(name, 0) + 1
    if not found.written:
        raise UserError("pipeline.puzzles: all questions are held out; expected others as well")
    return found


def _check(kinds: Mapping[str, Settings | None], stretch: Stretch, held: Sequence[Stretch]) -> None:
    if not kinds:
        raise UserError("pipeline.puzzles: found none, expected names of reasoning-gym's puzzles")
    if stretch.size < 1:
        raise UserError(f"pipeline.size={stretch.size}: expected at least 1")
    for place, other in enumerate(held):
        if stretch.overlaps(other):
            raise UserError(
                f"pipeline.held_out[{place}]: puzzles {other.seed} to "
                f"{other.seed + other.size - 1} overlap with those of pipeline.seed={stretch.seed}"
                f", pipeline.size={stretch.size}; expected another seed"
            )


def _questions(name: str, stretches: Sequence[Stretch], settings: Settings | None) -> set[str]:
    return {
        question_key(puzzle)
        for stretch in stretches
        for puzzle in make_puzzles(name, stretch.size, stretch.seed, settings)
    }


def _in_turn(
    kinds: Mapping[str, Settings | None], stretch: Stretch
) -> Iterator[tuple[str, int, Puzzle]]:
    """A puzzle of each kind, then the next of each, so that any beginning has all kinds."""
    made = {name: make_puzzles(name, stretch.size, stretch.seed, kinds[name]) for name in kinds}
    for number in range(stretch.seed, stretch.seed + stretch.size):
        for name, puzzles in made.items():
            yield name, number, next(iter(puzzles))


def _reason(puzzle: Puzzle, asked: set[str], seen: set[str]) -> str | None:
    """Why a puzzle is left out, if it is; takes it into those that are seen."""
    key = question_key(puzzle)
    if key in asked:
        return "held_out"
    if key in seen:
        return "repeated"
    if puzzle["answer"] is None:
        return "unanswered"
    seen.add(key)
    return None


def _open(output: Path) -> IO[bytes]:
    folder = output / "train"
    folder.mkdir(parents=True, exist_ok=True)
    compressor = zstandard.ZstdCompressor(level=6)
    stream: IO[bytes] = zstandard.open(folder / "00000.jsonl.zst", "wb", cctx=compressor)
    return stream
