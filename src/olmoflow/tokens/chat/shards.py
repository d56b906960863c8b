"""Conversations to token shards: a document is a conversation, and the table says what is learnt.

Rendering is Python, which one thread does at a time; encoding is compiled and runs beside it. The
bytes written are the same whatever the number of threads.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from olmoflow.documents import Document, Intake
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import (
    Conversation,
    conversation_files,
    read_conversations,
)
from olmoflow.tokens.chat.render import ConversationEncoder, Rendered, UnderivableSpans
from olmoflow.tokens.chat.spans import Learn
from olmoflow.tokens.chat.template import ChatTemplate
from olmoflow.tokens.shards import Progress, ShardWriter, built_folder, worked_in_order
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer

TooLong = Literal["truncate", "drop", "split"]
Batch = list[Conversation]
Encoded = list[Rendered | UnderivableSpans]
TOO_LONG = "too_long.jsonl"
_BATCH_CHARACTERS = 1 << 19


@dataclass
class ConversationStatistics:
    """What was written, and what was not.

    Attributes:
        conversations: How many were.
        tokens: Of them.
        target_tokens: Of these, how many are learnt.
        bytes: UTF-8 bytes of what is said.
        too_long: Conversations longer than a sequence, by what became of them.
        malformed: Rows that are no conversation, by reason.
        underivable: Conversations of which it is not certain what is learnt, by reason.
    """

    conversations: int = 0
    tokens: int = 0
    target_tokens: int = 0
    bytes: int = 0
    too_long: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    underivable: Counter[str] = field(default_factory=Counter)


def write_conversation_shards(
    source: Path,
    tokenizer: Path,
    template: ChatTemplate,
    output: Path,
    *,
    sequence_length: int,
    too_long: TooLong | None,
    learn: Learn = "all",
    source_name: str | None = None,
    num_workers: int | None = None,
    chunk_tokens: int = 1 << 24,
    max_error_rate: float = 0.001,
    progress: Progress | None = None,
) -> ConversationStatistics:
    """Render and tokenize the conversations of a file or folder.

    Rows that are set apart stand in ``errors.jsonl`` of the output with file, line and reason,
    conversations that were too long in ``too_long.jsonl``.

    Args:
        source: Conversations, as `read_conversations` takes them.
        tokenizer: A Hugging Face tokenizer folder.
        template: How conversations are written.
        output: The shards' folder; replaced only when the new one is complete.
        sequence_length: T; what is longer is too long.
        too_long: ``truncate`` to T, ``drop``, or ``split`` into sequences when they are packed;
            None: the first is a mistake.
        learn: Which of the assistant's turns are learnt: ``all``, or the ``last``.
        source_name: Only the conversations of this source; None: all.
        num_workers: Threads; None: one per core.
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        max_error_rate: Share of malformed and underivable rows above which the work stops.
        progress: Called with (bytes of files read, bytes of files).

    Raises:
        UserError: There is no conversation, one is too long and nothing says what to do, too many
            are malformed or underivable, or template and tokenizer do not fit.
    """
    intake, opened = Intake(max_error_rate), load_tokenizer(tokenizer)
    encoder = ConversationEncoder(opened, template)  # whether they fit shows before any reading
    total = sum(file.stat().st_size for file in conversation_files(source))
    chosen = (c for c in read_conversations(source, intake) if source_name in (None, c.source))
    statistics = ConversationStatistics()
    with built_folder(output, intake) as folder:
        writer = ShardWriter(folder, opened.vocab_size, chunk_tokens, "conversations")
        fitting = Fitting(opened, sequence_length, too_long, statistics)
        workers = num_workers or usable_cores()
        new = _new_encoder(encoder, opened, template, learn)
        for batch, encoded in worked_in_order(_batches(chosen), new, workers):
            _add(writer, _derivable(batch, encoded, intake, statistics), fitting)
            if progress:
                progress(intake.file_bytes, total)
        intake.close(source)  # again: now with what was underivable
        if not writer.documents:
            raise UserError(_nothing_left(source, source_name, statistics))
        writer.finish()
        fitting.write(folder)
    statistics.malformed = _by_reason(intake) - statistics.underivable
    statistics.conversations, statistics.tokens = writer.documents, writer.tokens
    statistics.bytes = writer.bytes
    return statistics


class Fitting:
    """Makes conversations fit into a sequence, and keeps those that did not.

    Args:
        tokenizer: Ends a document that was cut.
        sequence_length: T.
        too_long: What becomes of a longer one.
        statistics: Counts them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sequence_length: int,
        too_long: TooLong | None,
        statistics: ConversationStatistics,
    ) -> None:
        self.eos_id, self.length, self.too_long = tokenizer.eos_id, sequence_length, too_long
        self.statistics = statistics
        self.longer: list[dict[str, str | int]] = []

    def fit(self, conversation: Conversation, rendered: Rendered) -> Rendered | None:
        """The conversation as it is to be written; None if it is not.

        Raises:
            UserError: It is too long, and nothing says what to do.
        """
        size = len(rendered.ids)
        if size <= self.length:
            return rendered
        if self.too_long is None:
            place = conversation.place
            raise UserError(
                f"{place.file}:{place.line}: a conversation of {size:,} tokens, more than "
                f"sequence_length={self.length}; give too_long=truncate, drop or split"
            )
        fitted = rendered if self.too_long == "split" else None
        if self.too_long == "truncate":
            fitted = truncated(rendered, self.length, self.eos_id)
        became = "dropped" if fitted is None else _BECAME[self.too_long]
        self.statistics.too_long[became] += 1
        self.longer.append({"id": conversation.id, "tokens": size, "became": became})
        return fitted

    def write(self, folder: Path) -> None:
        """Leave a list of those that were too long, if there were any."""
        if self.longer:
            rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.longer)
            (folder / TOO_LONG).write_text(rows)


_BECAME = {"truncate": "truncated", "split": "split"}


def truncated(rendered: Rendered, length: int, eos_id: int) -> Rendered | None:
    """The first ``length`` tokens of a conversation, its end among them.

    The end stands where nobody has stopped, so it is not learnt. None if nothing is left to learn.
    """
    cut = length - 1
    spans = tuple((start, min(end, cut)) for start, end in rendered.spans if start < cut)
    if not spans:
        return None
    return Rendered(np.append(rendered.ids[:cut], np.uint32(eos_id)), spans)


def _add(
    writer: ShardWriter, derived: Iterator[tuple[Conversation, Rendered]], fitting: Fitting
) -> None:
    """Write those of a batch's conversations that fit."""
    kept = [(c, fitted) for c, r in derived if (fitted := fitting.fit(c, r)) is not None]
    if not kept:
        return
    ids = np.concatenate([rendered.ids for _, rendered in kept])
    counts = np.array([len(rendered.ids) for _, rendered in kept], np.int64)
    sizes = np.array([_said_bytes(conversation) for conversation, _ in kept], np.int64)
    targets = [[*chain.from_iterable(rendered.spans)] for _, rendered in kept]
    fitting.statistics.target_tokens += sum(
        end - start for _, rendered in kept for start, end in rendered.spans
    )
    rows = [Document(conversation.id, "", conversation.source) for conversation, _ in kept]
    writer.add(rows, (ids, counts), sizes, targets)


def _derivable(
    batch: Batch, encoded: Encoded, intake: Intake, statistics: ConversationStatistics
) -> Iterator[tuple[Conversation, Rendered]]:
    """The conversations whose spans are certain; the others are set apart."""
    for conversation, found in zip(batch, encoded, strict=True):
        if isinstance(found, UnderivableSpans):
            statistics.underivable[without_places(found.reason)] += 1
            place = conversation.place
            intake.withdraw(place.file, place.line, found.reason)
        else:
            yield conversation, found


def without_places(reason: str) -> str:
    """A reason without the numbers in it, so that equal ones are counted together."""
    return re.sub(r"\d+", "#", reason)


def _by_reason(intake: Intake) -> Counter[str]:
    return Counter(without_places(malformed.reason) for malformed in intake.malformed)


def _nothing_left(source: Path, source_name: str | None, statistics: ConversationStatistics) -> str:
    reasons = statistics.too_long | statistics.underivable
    if not reasons:
        return f"source={source_name}: {source} has no conversation of it"
    became = ", ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common(3))
    return f"{source}: no conversation is left to learn from ({became})"


def _said_bytes(conversation: Conversation) -> int:
    return sum(
        len(text.encode())
        for message in conversation.messages
        for text in (message.content, message.function_calls or "")
    )


def _new_encoder(
    first: ConversationEncoder, tokenizer: Tokenizer, template: ChatTemplate, learn: Learn
) -> Callable[[], Callable[[Batch], Encoded]]:
    """Makes what encodes batches, one for each thread."""
    made = [first]

    def new() -> Callable[[Batch], Encoded]:
        encoder = made.pop() if made else ConversationEncoder(tokenizer, template)
        return lambda batch: encoder.encode_many([c.messages for c in batch], learn)

    return new


def _batches(conversations: Iterator[Conversation]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for conversation in conversations:
        batch.append(conversation)
        size += sum(len(message.content) for message in conversation.messages)
        if size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
