"""Preferences to token shards: document 2i is the chosen conversation, 2i + 1 the rejected.

Learnt is the assistant's last turn alone, in which the two differ. The bytes written are the same
whatever the number of threads.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import numpy as np

from olmoflow.documents import Document, Intake
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import (
    Message,
    Preference,
    conversation_files,
    read_preferences,
)
from olmoflow.tokens.chat.render import ConversationEncoder, Rendered, UnderivableSpans
from olmoflow.tokens.chat.shards import TOO_LONG, truncated, without_places
from olmoflow.tokens.chat.template import ChatTemplate
from olmoflow.tokens.shards import Progress, ShardWriter, built_folder, worked_in_order
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer

TooLongPair = Literal["truncate", "drop"]
Pair = tuple[Rendered, Rendered]
Batch = Sequence[Preference]
Encoded = list[Pair | UnderivableSpans]
_BATCH_PAIRS = 64


@dataclass
class PairStatistics:
    """What was written, and what was not.

    Attributes:
        pairs: How many were.
        tokens: Of their answers, prompts included.
        target_tokens: Of these, how many are learnt.
        bytes: UTF-8 bytes of the last turns.
        too_long: Pairs with an answer longer than a sequence, by what became of them.
        malformed: Rows that are no preference, by reason.
        underivable: Pairs of which it is not certain what is learnt, by reason.
    """

    pairs: int = 0
    tokens: int = 0
    target_tokens: int = 0
    bytes: int = 0
    too_long: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    underivable: Counter[str] = field(default_factory=Counter)


def write_pair_shards(
    source: Path,
    tokenizer: Path,
    template: ChatTemplate,
    output: Path,
    *,
    sequence_length: int,
    too_long: TooLongPair | None,
    source_name: str | None = None,
    num_workers: int | None = None,
    chunk_tokens: int = 1 << 24,
    max_error_rate: float = 0.001,
    progress: Progress | None = None,
) -> PairStatistics:
    """Render and tokenize the preferences of a file or folder.

    Rows that are set apart stand in ``errors.jsonl`` of the output with file, line and reason,
    pairs that were too long in ``too_long.jsonl``.

    Args:
        source: Preferences, as `read_preferences` takes them.
        tokenizer: A Hugging Face tokenizer folder.
        template: How conversations are written.
        output: The shards' folder; replaced only when the new one is complete.
        sequence_length: T; a pair of which one answer is longer, with its prompt, is too long.
        too_long: ``truncate`` both to T, or ``drop`` the pair; None: the first is a mistake.
        source_name: Only the preferences of this source; None: all.
        num_workers: Threads; None: one per core.
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        max_error_rate: Share of malformed and underivable rows above which the work stops.
        progress: Called with (bytes of files read, bytes of files).

    Raises:
        UserError: There is no preference, one is too long and nothing says what to do, too many
            are malformed or underivable, or template and tokenizer do not fit.
    """
    intake, opened = Intake(max_error_rate), load_tokenizer(tokenizer)
    encoder = ConversationEncoder(opened, template)  # whether they fit shows before any reading
    total = sum(file.stat().st_size for file in conversation_files(source))
    chosen = (p for p in read_preferences(source, intake) if source_name in (None, p.source))
    statistics = PairStatistics()
    with built_folder(output, intake) as folder:
        writer = ShardWriter(folder, opened.vocab_size, chunk_tokens, "pairs")
        fitting = _Fitting(sequence_length, too_long, opened.eos_id, statistics)
        new = _new_encoder(encoder, opened, template)
        workers = num_workers or usable_cores()
        for batch, encoded in worked_in_order(_batches(chosen), new, workers):
            _add(writer, _derivable(batch, encoded, intake, statistics), fitting)
            if progress:
                progress(intake.file_bytes, total)
        intake.close(source)  # again: now with what was underivable
        if not writer.documents:
            reasons = statistics.too_long | statistics.underivable
            became = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.items())
            raise UserError(f"{source}: no pair is left; {became or f'source={source_name}'}")
        writer.finish()
        fitting.write(folder)
    reasons = Counter(without_places(malformed.reason) for malformed in intake.malformed)
    statistics.malformed = reasons - statistics.underivable
    statistics.pairs, statistics.tokens = writer.documents // 2, writer.tokens
    statistics.bytes = writer.bytes
    return statistics


@dataclass
class _Fitting:
    """Makes pairs fit into a sequence, and keeps those that did not."""

    length: int
    too_long: TooLongPair | None
    eos_id: int
    statistics: PairStatistics
    longer: list[dict[str, str | int]] = field(default_factory=list)

    def fit(self, preference: Preference, pair: Pair) -> Pair | None:
        """The pair as it is to be written; None if it is not."""
        size = max(len(rendered.ids) for rendered in pair)
        if size <= self.length:
            return pair
        if self.too_long is None:
            place = preference.place
            raise UserError(
                f"{place.file}:{place.line}: an answer of {size:,} tokens, more than "
                f"sequence_length={self.length}; give too_long=truncate or drop"
            )
        fitted, became = None, "dropped"
        if self.too_long == "truncate":
            fitted, became = self._truncated(pair)
        self.statistics.too_long[became] += 1
        self.longer.append({"id": preference.id, "tokens": size, "became": became})
        return fitted

    def _truncated(self, pair: Pair) -> tuple[Pair | None, str]:
        chosen, rejected = (
            rendered
            if len(rendered.ids) <= self.length
            else truncated(rendered, self.length, self.eos_id)
            for rendered in pair
        )
        if chosen is None or rejected is None:
            return None, "dropped, nothing of an answer is left"
        if np.array_equal(chosen.ids, rejected.ids):
            return None, "dropped, the answers differ only behind the cut"
        return (chosen, rejected), "truncated"

    def write(self, folder: Path) -> None:
        """Leave a list of those that were too long, if there were any."""
        if self.longer:
            rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.longer)
            (folder / TOO_LONG).write_text(rows)


def _add(
    writer: ShardWriter, derived: Iterator[tuple[Preference, Pair]], fitting: _Fitting
) -> None:
    """Write those of a batch's pairs that fit."""
    kept = [(p, fitted) for p, pair in derived if (fitted := fitting.fit(p, pair)) is not None]
    if not kept:
        return
    answers = [rendered for _, pair in kept for rendered in pair]
    counts = np.array([len(rendered.ids) for rendered in answers], np.int64)
    sizes = [_said_bytes(each[-1]) for p, _ in kept for each in (p.chosen, p.rejected)]
    targets = [[*chain.from_iterable(rendered.spans)] for rendered in answers]
    fitting.statistics.target_tokens += sum(
        end - start for rendered in answers for start, end in rendered.spans
    )
    rows = [
        Document(f"{preference.id}#{side}", "", preference.source)
        for preference, _ in kept
        for side in ("chosen", "rejected")
    ]
    ids = np.concatenate([rendered.ids for rendered in answers])
    writer.add(rows, (ids, counts), np.array(sizes, np.int64), targets)


def _derivable(
    batch: Batch, encoded: Encoded, intake: Intake, statistics: PairStatistics
) -> Iterator[tuple[Preference, Pair]]:
    """The pairs whose spans are certain; the others are set apart."""
    for preference, found in zip(batch, encoded, strict=True):
        if isinstance(found, UnderivableSpans):
            statistics.underivable[without_places(found.reason)] += 1
            intake.withdraw(preference.place.file, preference.place.line, found.reason)
        else:
            yield preference, found


def _batches(preferences: Iterator[Preference]) -> Iterator[Batch]:
    while batch := list(islice(preferences, _BATCH_PAIRS)):
        yield batch


def _said_bytes(message: Message) -> int:
    return len((message.content + (message.function_calls or "")).encode())


def _new_encoder(
    first: ConversationEncoder, tokenizer: Tokenizer, template: ChatTemplate
) -> Callable[[], Callable[[Batch], Encoded]]:
    """Makes what encodes batches, one for each thread."""
    made = [first]

    def new() -> Callable[[Batch], Encoded]:
        encoder = made.pop() if made else ConversationEncoder(tokenizer, template)
        return lambda batch: _encode(encoder, batch)

    return new


def _encode(encoder: ConversationEncoder, batch: Batch) -> Encoded:
    answers = [turns for p in batch for turns in (p.chosen, p.rejected)]
    rendered = encoder.encode_many(answers, learn="last")
    return [_pair(*sides) for sides in zip(rendered[::2], rendered[1::2], strict=True)]


def _pair(
    chosen: Rendered | UnderivableSpans, rejected: Rendered | UnderivableSpans
) -> Pair | UnderivableSpans:
    if isinstance(chosen, UnderivableSpans):
        return UnderivableSpans(f"chosen: {chosen.reason}")
    if isinstance(rejected, UnderivableSpans):
        return UnderivableSpans(f"rejected: {rejected.reason}")
    if np.array_equal(chosen.ids, rejected.ids):
        return UnderivableSpans("the template writes chosen and rejected the same")
    return chosen, rejected
