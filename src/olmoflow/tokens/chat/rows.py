"""Rows to token shards: each is rendered into one or more documents, of which spans are learnt.

What a row is, a conversation or a preference, is a `RowKind`.

Rendering is Python, which one thread does at a time; encoding is compiled and runs beside it. The
bytes written are the same whatever the number of threads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np

from olmoflow.documents import Document, Intake
from olmoflow.environment import usable_cores
from olmoflow.errors import UserError
from olmoflow.tokens.chat.conversation import Message, Row, conversation_files
from olmoflow.tokens.chat.fitting import Fitting
from olmoflow.tokens.chat.kind import Documents, RowKind, TooLong
from olmoflow.tokens.chat.render import ConversationEncoder, UnderivableSpans
from olmoflow.tokens.chat.spans import Learn
from olmoflow.tokens.chat.template import ChatTemplate
from olmoflow.tokens.shards import Progress, ShardWriter, built_folder, worked_in_order
from olmoflow.tokens.tokenizer import Tokenizer, load_tokenizer

Encoded = list[Documents | UnderivableSpans]


@dataclass
class RowStatistics:
    """What was written, and what was not.

    Attributes:
        rows: How many were.
        tokens: Of their documents.
        target_tokens: Of these, how many are learnt.
        bytes: UTF-8 bytes of what is said; of preferences, in the last turns.
        too_long: Rows with a document longer than a sequence, by what became of them.
        malformed: Rows that are not of the kind, by reason.
        underivable: Rows of which it is not certain what is learnt, by reason.
    """

    rows: int = 0
    tokens: int = 0
    target_tokens: int = 0
    bytes: int = 0
    too_long: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    underivable: Counter[str] = field(default_factory=Counter)


def write_row_shards(
    kind: RowKind[Row],
    source: Path,
    tokenizer: Path,
    template: ChatTemplate,
    output: Path,
    *,
    sequence_length: int,
    too_long: TooLong | None,
    learn: Learn,
    source_name: str | None = None,
    num_workers: int | None = None,
    chunk_tokens: int = 1 << 24,
    max_document_bytes: int | None = None,
    max_error_rate: float = 0.001,
    progress: Progress | None = None,
) -> RowStatistics:
    """Render and tokenize the rows of a file or folder.

    Rows that are set apart stand in ``errors.jsonl`` of the output with file, line and reason,
    those that were too long in ``too_long.jsonl``.

    Args:
        kind: What the rows are.
        source: The rows, as `rows_of_file` takes them.
        tokenizer: A Hugging Face tokenizer folder.
        template: How conversations are written.
        output: The shards' folder; replaced only when the new one is complete.
        sequence_length: T; a row of which a document is longer is too long.
        too_long: ``truncate`` to T, ``drop``, or ``split`` into sequences when they are packed,
            which preferences are not; None: the first is a mistake.
        learn: Which of the assistant's turns are learnt: ``all``, or the ``last``.
        source_name: Only the rows of this source; None: all.
        num_workers: Threads; None: one per core.
        chunk_tokens: A chunk ends with the document that reaches this many tokens.
        max_document_bytes: Rows whose turns have more are malformed, and lines of more are never
            held whole; None: no limit.
        max_error_rate: Share of malformed and underivable rows above which the work stops.
        progress: Called with (bytes of files read, bytes of files).

    Raises:
        UserError: There is no row, one is too long and nothing says what to do, too many are
            malformed or underivable, or template and tokenizer do not fit.
    """
    intake, opened = Intake(max_error_rate, max_document_bytes), load_tokenizer(tokenizer)
    encoder = ConversationEncoder(opened, template)  # whether they fit shows before any reading
    total = sum(file.stat().st_size for file in conversation_files(source))
    rows = (row for row in kind.read(source, intake) if source_name in (None, row.source))
    statistics = RowStatistics()
    with built_folder(output, intake) as folder:
        writer = ShardWriter(folder, opened.vocab_size, chunk_tokens, kind.content)
        fitting = Fitting(kind, opened.eos_id, sequence_length, too_long)
        new = _new_encoder(kind, encoder, opened, template, learn)
        workers = num_workers or usable_cores()
        for batch, encoded in worked_in_order(_batches(kind, rows), new, workers):
            derived = _derivable(batch, encoded, intake, statistics)
            fitted = [(row, kept) for row, d in derived if (kept := fitting.fit(row, d))]
            statistics.target_tokens += _add(kind, writer, fitted)
            if progress:
                progress(intake.file_bytes, total)
        intake.close(source)  # again: now with what was underivable
        statistics.too_long = fitting.became
        if not writer.documents:
            reasons = statistics.too_long | statistics.underivable
            raise UserError(kind.nothing_left(source, source_name, reasons))
        writer.finish()
        fitting.write(folder)
    reasons = Counter(_without_places(malformed.reason) for malformed in intake.malformed)
    statistics.malformed = reasons - statistics.underivable
    statistics.rows, statistics.tokens = writer.documents // len(kind.suffixes), writer.tokens
    statistics.bytes = writer.bytes
    return statistics


def _batches(kind: RowKind[Row], rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    weight = 0
    for row in rows:
        batch.append(row)
        weight += kind.weight(row)
        if weight >= kind.batch_weight:
            yield batch
            batch, weight = [], 0
    if batch:
        yield batch


def _new_encoder(
    kind: RowKind[Row],
    first: ConversationEncoder,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    learn: Learn,
) -> Callable[[], Callable[[list[Row]], Encoded]]:
    """Makes what encodes batches, one for each thread."""
    made = [first]

    def new() -> Callable[[list[Row]], Encoded]:
        encoder = made.pop() if made else ConversationEncoder(tokenizer, template)

        def encode(batch: list[Row]) -> Encoded:
            turns = [each for row in batch for each in kind.documents(row)]
            found = iter(encoder.encode_many(turns, learn))
            return [kind.joined([*islice(found, len(kind.suffixes))]) for _ in batch]

        return encode

    return new


def _derivable(
    batch: list[Row], encoded: Encoded, intake: Intake, statistics: RowStatistics
) -> Iterator[tuple[Row, Documents]]:
    """The rows whose spans are certain; the others are set apart."""
    for row, found in zip(batch, encoded, strict=True):
        if isinstance(found, UnderivableSpans):
            statistics.underivable[_without_places(found.reason)] += 1
            intake.withdraw(row.place.file, row.place.line, found.reason)
        else:
            yield row, found


def _add(kind: RowKind[Row], writer: ShardWriter, fitted: list[tuple[Row, Documents]]) -> int:
    """Write a batch's rows; gives how many of their tokens are learnt."""
    if not fitted:
        return 0
    rendered = [document for _, documents in fitted for document in documents]
    ids = np.concatenate([document.ids for document in rendered])
    counts = np.array([len(document.ids) for document in rendered], np.int64)
    said = [kind.said(turns) for row, _ in fitted for turns in kind.documents(row)]
    sizes = np.array([sum(map(_bytes, turns)) for turns in said], np.int64)
    targets = [[*chain.from_iterable(document.spans)] for document in rendered]
    named = [
        Document(f"{row.id}{suffix}", "", row.source)
        for row, _ in fitted
        for suffix in kind.suffixes
    ]
    writer.add(named, (ids, counts), sizes, targets)
    return sum(end - start for document in rendered for start, end in document.spans)


def _bytes(message: Message) -> int:
    return len((message.content + (message.function_calls or "")).encode())


def _without_places(reason: str) -> str:
    """A reason without the numbers in it, so that equal ones are counted together."""
    return re.sub(r"\d+", "#", reason)
