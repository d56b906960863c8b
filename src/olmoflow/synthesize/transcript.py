"""Answers on the disk, each kept as it comes.

While a speaker answers, ``answers.partial.jsonl`` gets a line for each answer. Whatever ends the
process, the lines that are whole stay, and the same questions asked again go on behind them. Once
all is answered the lines are put into the order of the questions, so that equal answers make equal
files however they came in.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard

from olmoflow.errors import UserError
from olmoflow.inference.chat import Answer, Failure, Question, Reply, Speaker, Unaskable
from olmoflow.synthesize.prompt import canonical

PARTIAL = "answers.partial.jsonl"
ANSWERS = "answers.jsonl.zst"
# Judge the rate of failures only once there are a few.
_FEW = 20


def key_of(question: Question) -> str:
    """Equal questions have the same, 32 hexadecimal digits."""
    sampling = question.sampling
    sampled = question.seed if sampling.temperature > 0 else 0
    rest = [question.max_new_tokens, sampling.temperature, sampling.top_p, sampling.top_k, sampled]
    text = f"{canonical(question.messages)}{json.dumps(rest)}"
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Transcript:
    """What a speaker answers to a list of questions, in a folder.

    Args:
        folder: Of this speaker and these questions alone.
        max_unanswered: Share of questions without an answer above which the work stops.
    """

    def __init__(self, folder: Path, max_unanswered: float) -> None:
        self.folder, self.max_unanswered = folder, max_unanswered

    def read(self, questions: Sequence[Question]) -> list[Reply]:
        """The replies of a finished transcript, in the order of its questions."""
        with (self.folder / ANSWERS).open("rb") as file:
            text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
            rows = {row["key"]: row for row in map(json.loads, text)}
        return [_reply(rows[key_of(question)]) for question in questions]

    def held(self) -> dict[str, Reply]:
        """The answers of an attempt that did not end; what a killed process tore is cut off."""
        path = self.folder / PARTIAL
        if not path.exists():
            return {}
        found: dict[str, Reply] = {}
        whole = 0
        with path.open("rb+") as file:
            for line in file:
                try:
                    row = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    row = None
                if row is None:
                    break
                found[row["key"]] = _reply(row)
                whole += len(line)
            file.truncate(whole)
        return found

    def record(
        self, questions: Sequence[Question], held: dict[str, Reply], speaker: Speaker | None
    ) -> Iterator[tuple[int, int]]:
        """Ask what is not held yet, keep each answer, and finish the transcript.

        Args:
            questions: All of them.
            held: From `held`.
            speaker: Who answers; None where everything is held.

        Yields:
            How many are answered, and of how many.

        Raises:
            UserError: Too many have no answer, or the speaker has gone.
        """
        replies = dict(held)
        wanted = {key_of(each): each for each in questions}
        open_questions = [each for key, each in wanted.items() if key not in replies]
        yield len(replies), len(wanted)
        if open_questions:
            assert speaker is not None
            with (self.folder / PARTIAL).open("a", encoding="utf-8") as file:
                for number, reply in speaker.answer(open_questions):
                    key = key_of(open_questions[number])
                    replies[key] = reply
                    if isinstance(reply, Answer):
                        file.write(json.dumps(_row(key, reply), ensure_ascii=True) + "\n")
                        file.flush()
                    self._judge(replies, reply)
                    yield len(replies), len(wanted)
        self._check(replies)
        self._finish([_row(key, replies[key]) for key in wanted])

    def _judge(self, replies: dict[str, Reply], reply: Reply) -> None:
        if isinstance(reply, Failure) and len(replies) >= _FEW:
            self._check(replies)

    def _check(self, replies: dict[str, Reply]) -> None:
        asked = [each for each in replies.values() if not isinstance(each, Unaskable)]
        failures = [each for each in asked if isinstance(each, Failure)]
        if len(failures) > self.max_unanswered * len(asked):
            raise UserError(
                f"{len(failures)} of {len(asked)} questions have no answer, more than "
                f"max_unanswered={self.max_unanswered:g} allows; the last: {failures[-1].reason}"
            )

    def _finish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Failures are part of it: the same command shall not ask again and find other pairs."""
        data = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows).encode()
        temporary = self.folder / f"{ANSWERS}.partial"
        temporary.write_bytes(zstandard.ZstdCompressor(level=3).compress(data))
        temporary.replace(self.folder / ANSWERS)
        (self.folder / PARTIAL).unlink(missing_ok=True)


def _row(key: str, reply: Reply) -> dict[str, Any]:
    if isinstance(reply, Failure):
        name = "unaskable" if isinstance(reply, Unaskable) else "failure"
        return {"key": key, name: reply.reason}
    return {
        "key": key,
        "text": reply.text,
        "tokens": reply.tokens,
        "finish_reason": reply.finish_reason,
    }


def _reply(row: dict[str, Any]) -> Reply:
    if "unaskable" in row:
        return Unaskable(row["unaskable"])
    if "failure" in row:
        return Failure(row["failure"])
    return Answer(row["text"], row["tokens"], row["finish_reason"])
